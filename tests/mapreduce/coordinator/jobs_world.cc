#include "tests/mapreduce/coordinator/jobs_world.h"

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "proto/check.h"
#include "proto/crc32c.h"
#include "server/storage/mvcc_key.h"
#include "server/storage/version.h"
#include "tests/mapreduce/coordinator/world_port.h"

namespace kvd::jobs {
namespace {

constexpr GroupId kGroup{1};
constexpr uint64_t kEpochMillis = 1'700'000'000'000;
constexpr Duration kTick = milliseconds(100);
constexpr size_t kReplicas = 3;
constexpr int kRows = 120;

std::string RowKey(uint64_t n) { return absl::StrCat("k", 100 + n); }

}  // namespace

JobsWorld::JobsWorld(uint64_t seed, bool verbose)
    : seed_(seed), verbose_(verbose), scheduler_(seed), random_(seed * 7 + 1) {
  // Some seeds are calm in one respect or in all.
  if (random_.Chance(0.7)) loss_ = 0.15 * static_cast<double>(random_.Below(100)) / 100;
  if (random_.Chance(0.6)) doubling_ = 0.2;
  if (random_.Chance(0.6)) unheard_ = 0.15;
  if (random_.Chance(0.6)) failing_ = random_.Chance(0.2) ? 0.4 : 0.05;
  if (random_.Chance(0.85)) trouble_ = 0.2 + static_cast<double>(random_.Below(100)) / 60;
  late_max_ = milliseconds(random_.Chance(0.3) ? 1'500 : 40);
  replicas_.resize(kReplicas);
  for (Replica& replica : replicas_) replica.port = std::make_unique<WorldPort>(this);
  stores_.resize(random_.Between(3, 6));
  for (size_t i = 0; i < stores_.size(); ++i) {
    stores_[i].id = StoreId(i + 1);
    shards_[i == 0 ? "" : RowKey(i * kRows / stores_.size())] = {StoreId(i + 1)};
    StartStore(i);
  }
  for (int i = 0; i < kRows; ++i) Write();
  Elect();
}

JobsWorld::~JobsWorld() = default;

void JobsWorld::Later(Duration mean, std::function<void()> f) {
  auto ns = static_cast<uint64_t>(mean.count());
  scheduler_.After(Duration(static_cast<int64_t>(random_.Between(ns / 10, 2 * ns))), std::move(f));
}

void JobsWorld::Repeat(Duration mean, void (JobsWorld::*what)()) {
  Later(mean, [this, mean, what] {
    if (!faulting_) return;
    (this->*what)();
    Repeat(mean, what);
  });
}

void JobsWorld::Carry(const std::function<void()>& f) {
  if (faulting_ && random_.Chance(loss_)) {
    ++report_.lost;
    return;
  }
  Later(random_.Chance(0.1) ? late_max_ : milliseconds(3), f);
  if (!faulting_ || !random_.Chance(doubling_)) return;
  ++report_.doubled;
  Later(late_max_, f);
}

Timestamp JobsWorld::Clock() const {
  auto ms = std::chrono::duration_cast<milliseconds>(scheduler_.now().time_since_epoch()).count();
  return TimestampFromMillis(kEpochMillis + static_cast<uint64_t>(ms));
}

void JobsWorld::Records::Put(std::string_view key, std::string_view value) {
  storage::Version version;
  version.crc32c = ValueChecksum(key, value);
  version.value = value;
  batch_->Put(storage::VersionKey(kGroup, key, at_), storage::Encode(version));
}

void JobsWorld::Records::Delete(std::string_view key) {
  storage::Version version;
  version.kind = storage::VersionKind::kTombstone;
  version.crc32c = ValueChecksum(key, {});
  batch_->Put(storage::VersionKey(kGroup, key, at_), storage::Encode(version));
}

// A deposed leader's proposals come to nothing; of others some come to nothing, and of some
// nothing is heard though they were carried out.
void JobsWorld::Propose(size_t replica, uint64_t term, const Command& command,
                        std::function<void(absl::StatusOr<Result>)> done) {
  Later(random_.Chance(0.05) ? milliseconds(300) : milliseconds(4), [=, this] {
    auto answer = [this, done](absl::StatusOr<Result> with) {
      Later(milliseconds(2), [done, with] { done(with); });
    };
    bool drop = faulting_ && random_.Chance(unheard_ / 2);
    if (drop || replica != leader_ || term != term_) {
      ++report_.dropped_proposals;
      return answer(absl::UnavailableError("not the leader"));
    }
    bool unheard = faulting_ && random_.Chance(unheard_);
    report_.unheard += unheard;
    if (unheard) {
      // It may be told that nobody knows long before it is carried out.
      answer(absl::UnavailableError("the outcome is not known"));
      return Later(milliseconds(random_.Chance(0.5) ? 1 : 1'000), [=, this] {
        if (replica == leader_ && term == term_) Append(replica, Encode(command));
      });
    }
    Append(replica, Encode(command));
    const auto& applied = log_.back().answer;
    if (!applied.ok()) return answer(applied.status());
    answer(DecodeResult(*applied));
  });
}

void JobsWorld::Append(size_t replica, const std::string& command) {
  LogEntry entry;
  entry.command = command;
  entry.at = Clock();
  if (!log_.empty()) entry.at = std::max(entry.at, log_.back().at + 1);
  log_.push_back(std::move(entry));
  Apply(replica, log_.size());
  Observe(*DecodeCommand(command), log_.back().answer);
  CheckAlways();
  replicas_[replica].coordinator->Tick(scheduler_.now(), Clock());
}

void JobsWorld::Apply(size_t index, size_t upto) {
  Replica& replica = replicas_[index];
  for (; replica.applied < upto; ++replica.applied) {
    LogEntry& entry = log_[replica.applied];
    replica.records->Begin(entry.at);
    auto answer = replica.machine->Apply(entry.command, {Index(replica.applied + 1), entry.at},
                                         replica.records.get());
    replica.records->End();
    if (absl::IsUnknown(entry.answer.status())) entry.answer = answer;
    bool same = entry.answer.ok() ? answer.ok() && *entry.answer == *answer : !answer.ok();
    if (!same) Fail("replicas answer differently");
  }
}

void JobsWorld::Elect() {
  size_t before = leader_;
  leader_ = random_.Below(replicas_.size());
  ++term_;
  ++report_.leaders;
  Apply(leader_, log_.size());
  if (before != leader_ && replicas_[before].coordinator != nullptr) {
    // It may not know yet.
    ++report_.stale_leaders;
    uint64_t term = replicas_[before].term;
    Later(milliseconds(1'500), [this, before, term] {
      if (replicas_[before].term == term && before != leader_) {
        replicas_[before].coordinator = nullptr;
      }
    });
  }
  MakeCoordinator(leader_);
}

void JobsWorld::MakeCoordinator(size_t index) {
  Replica& replica = replicas_[index];
  replica.coordinator = nullptr;
  if (faulting_ && random_.Chance(0.3) && replica.applied > 0) {
    // It was restarted: all it knows is in its records.
    ++report_.restarts;
    replica.machine = std::make_unique<JobsMachine>();
    storage::MvccReader reader(&replica.records->engine(), kGroup);
    absl::Status loaded = replica.machine->Load(reader, log_[replica.applied - 1].at);
    if (!loaded.ok()) Fail(std::string(loaded.message()));
  }
  replica.term = term_;
  replica.began = scheduler_.now();
  replica.progress.clear();
  uint64_t term = term_;
  replica.coordinator = std::make_unique<Coordinator>(
      term_, scheduler_.now(), &replica.machine->state(), replica.port.get(),
      [this, index, term](const Command& command,
                          std::function<void(absl::StatusOr<Result>)> done) {
        Propose(index, term, command, std::move(done));
      },
      nullptr, ModelSplitters, CoordinatorOptions());
}

void JobsWorld::TickAll() {
  for (size_t i = 0; i < replicas_.size(); ++i) {
    if (i != leader_ && random_.Chance(0.3))
      Apply(i, random_.Between(replicas_[i].applied, log_.size()));
    if (replicas_[i].coordinator != nullptr) {
      replicas_[i].coordinator->Tick(scheduler_.now(), Clock());
    }
  }
  for (Store& store : stores_) {
    if (store.up) store.agent->Tick(scheduler_.now());
  }
  CheckRunning();
  scheduler_.After(kTick, [this] { TickAll(); });
}

void JobsWorld::SendPoll(size_t index, const Poll& poll) {
  Store& store = stores_[index];
  // Whoever does not answer may lead no more.
  bool heard = store.answered == store.asked || store.hinted;
  if (!heard) store.believes = random_.Below(replicas_.size());
  store.hinted = false;
  store.asked = poll.number;
  size_t replica = store.believes;
  ++report_.polls;
  Carry([this, index, replica, poll] { Receive(index, replica, poll); });
}

void JobsWorld::Receive(size_t index, size_t at, const Poll& poll) {
  Replica& replica = replicas_[at];
  if (stores_[index].cut) return;
  if (replica.coordinator == nullptr) {
    stores_[index].believes = leader_;
    stores_[index].hinted = true;
    return;
  }
  auto answer = replica.coordinator->OnPoll(poll, scheduler_.now());
  if (!answer) return;
  CheckMarks(at, poll);
  bool waits = scheduler_.now() < replica.began + std::chrono::seconds(5);
  if (waits && !answer->start.empty()) Fail("a new leader assigns before a lease is over");
  Carry([this, index, incarnation = poll.incarnation, answer = *std::move(answer)] {
    Store& store = stores_[index];
    if (!store.up || store.cut || store.incarnation != incarnation) return;
    store.answered = std::max(store.answered, answer.number);
    store.heard = scheduler_.now();
    store.agent->OnAnswer(answer, scheduler_.now());
  });
}

JobsReport JobsWorld::Run(Duration duration) {
  scheduler_.After(kTick, [this] { TickAll(); });
  Repeat(milliseconds(150), &JobsWorld::Write);
  Repeat(milliseconds(700), &JobsWorld::GrantSafePoint);
  Repeat(milliseconds(2'000), &JobsWorld::MoveShard);
  Repeat(milliseconds(3'000), &JobsWorld::SubmitOne);
  Repeat(milliseconds(6'000), &JobsWorld::CancelOne);
  Repeat(milliseconds(500), &JobsWorld::CheckProgress);
  if (trouble_ > 0) {
    auto mean = std::chrono::duration_cast<Duration>(std::chrono::duration<double>(4 / trouble_));
    Repeat(mean, &JobsWorld::Fault);
    Repeat(milliseconds(static_cast<int64_t>(12'000 / trouble_)), &JobsWorld::Elect);
  }
  scheduler_.RunUntil(scheduler_.now() + duration);
  Heal();
  // What is on its way still arrives, and may begin one more job.
  scheduler_.RunUntil(scheduler_.now() + std::chrono::seconds(5));
  MonotonicTime limit = scheduler_.now() + std::chrono::seconds(400);
  while (!(AllOver() && LeftAtStores().empty()) && scheduler_.now() < limit) {
    scheduler_.RunUntil(scheduler_.now() + std::chrono::seconds(1));
  }
  if (!AllOver()) Fail("not all is over long after the last fault");
  CheckEnd();
  return report_;
}

}  // namespace kvd::jobs
