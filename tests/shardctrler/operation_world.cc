#include "tests/shardctrler/operation_world.h"

#include "absl/strings/str_cat.h"
#include "proto/check.h"
#include "server/shard/shard_codec.h"
#include "tests/shardctrler/commands.h"

namespace kvd::shardctrler {
namespace {

constexpr uint64_t kGroups = 4;
constexpr int kKeys = 40;

std::string KeyNumber(uint64_t n) { return absl::StrCat("k", 100 + n); }

}  // namespace

// As a replica of the controller sees the groups.
class OperationWorld::WorldPort : public Port {
 public:
  explicit WorldPort(OperationWorld* world) : world_(world) {}

  void Step(GroupId group, ShardStep step, Done<StepAnswer> done) override {
    Call<StepAnswer>(std::move(done), [world = world_, group, step](auto answer) {
      answer(world->ApplyStep(group, step));
    });
  }
  void Pull(GroupId group, ShardId shard, OperationId operation, Timestamp at,
            Done<PullAnswer> done) override {
    Call<PullAnswer>(std::move(done), [world = world_, group, shard, operation, at](auto answer) {
      world->PullChunk(group, shard, operation, at, 0, answer);
    });
  }
  void CreateGroup(GroupId group, const std::vector<shardctrler::Replica>&,
                   Done<StepOutcome> done) override {
    Call<StepOutcome>(std::move(done), [world = world_, group](auto answer) {
      world->groups_[group].created = true;
      answer(StepOutcome::kDone);
    });
  }
  void RemoveGroup(GroupId group, const std::vector<shardctrler::Replica>&,
                   Done<StepOutcome> done) override {
    Call<StepOutcome>(std::move(done), [world = world_, group](auto answer) {
      KVD_CHECK(world->groups_[group].table.empty());
      answer(StepOutcome::kAborted);
    });
  }
  void ChangeReplicas(OperationId, GroupId, const std::vector<shardctrler::Replica>&,
                      const std::vector<ReplicaId>&, Done<StepOutcome> done) override {
    done(StepOutcome::kDone);
  }
  void AbandonChange(OperationId, GroupId, const std::vector<shardctrler::Replica>&,
                     const std::vector<ReplicaId>&, Done<StepOutcome> done) override {
    done(StepOutcome::kAborted);
  }

 private:
  // Answers once: what arrived first, or that nothing has.
  template <class T, class F>
  void Call(Done<T> done, F at_the_other_end) {
    auto once = std::make_shared<Done<T>>(std::move(done));
    Done<T> answer = [once](absl::StatusOr<T> result) {
      if (auto f = std::exchange(*once, nullptr)) f(std::move(result));
    };
    world_->Carry([world = world_, at_the_other_end, answer] {
      at_the_other_end([world, answer](absl::StatusOr<T> result) {
        world->Carry([answer, result] { answer(result); });
      });
    });
    world_->scheduler_.After(std::chrono::seconds(1),
                             [answer] { answer(absl::DeadlineExceededError("no answer")); });
  }

  OperationWorld* const world_;
};

OperationWorld::OperationWorld(uint64_t seed)
    : scheduler_(seed), random_(seed * 7 + 1), replicas_(seed % 3 == 0 ? 1 : 4) {
  loss_ = seed % 4 == 0 ? 0 : static_cast<double>(random_.Below(30)) / 100;
  doubling_ = static_cast<double>(random_.Below(30)) / 100;
  late_max_ = milliseconds(random_.Chance(0.5) ? 20 : 4000);
  for (size_t i = 0; i < replicas_.size(); ++i) {
    Replica& r = replicas_[i];
    r.loop = std::make_unique<sim::SimLoop>(&scheduler_, 1.0, 0);
    r.port = std::make_unique<WorldPort>(this);
    DriverOptions options;
    options.last_round_bytes_max = random_.Below(200);
    r.driver = std::make_unique<Driver>(
        r.loop.get(), &r.controller.state(), r.port.get(),
        [this, i](const Command& command, auto done) { Propose(i, command, done); }, options);
  }
  scheduler_.after_event = [this] { CheckInvariant(); };
}

OperationWorld::~OperationWorld() { scheduler_.after_event = nullptr; }

void OperationWorld::Carry(const std::function<void()>& f) {
  auto delay = [this] {
    return Duration(static_cast<int64_t>(
        random_.Below(static_cast<uint64_t>((faulting_ ? late_max_ : milliseconds(5)).count()))));
  };
  if (faulting_ && random_.Chance(doubling_)) {
    ++report_.calls_doubled;
    scheduler_.After(delay(), f);
  }
  if (faulting_ && random_.Chance(loss_)) {
    ++report_.calls_lost;
    return;
  }
  scheduler_.After(delay(), f);
}

absl::StatusOr<StepAnswer> OperationWorld::ApplyStep(GroupId id, const ShardStep& step) {
  Group& group = groups_[id];
  if (!group.created) return absl::UnavailableError("there is no such group yet");
  group.clock =
      std::max(group.clock + 1, step.kind == StepKind::kCompleteImport ? step.at + 1 : Timestamp());
  auto effect = group.table.Apply(step, group.clock);
  group.table.CheckState();
  if (!effect.ok()) return effect.status();
  if (effect->erased) {
    std::erase_if(group.versions,
                  [&](const auto& key) { return effect->erased->Contains(key.first); });
  }
  if (effect->takes_rows) {
    shard::ForEachRow(step.rows, [&](const shard::ShardRow& row) {
      group.versions[std::string(row.key)][row.timestamp] = row.version;
      return true;
    });
  }
  return StepAnswer{effect->outcome, effect->shard, Timestamp()};
}

// One chunk of a round, and then the next one, a little later each.
void OperationWorld::PullChunk(GroupId id, ShardId shard, OperationId operation, Timestamp at,
                               uint64_t bytes, const Port::Done<PullAnswer>& done) {
  const shard::ShardTable& table = groups_[id].table;
  auto finished = table.finished().find(shard);
  if (finished != table.finished().end() && finished->second.operation == operation) {
    return done(PullAnswer{at, 0});
  }
  const ShardDescriptor* here = table.Find(shard);
  if (here == nullptr || here->operation != operation || here->state != ShardState::kImporting) {
    return done(absl::FailedPreconditionError("nothing is imported"));
  }
  if (at && here->copied >= at) return done(PullAnswer{at, bytes});
  const Group& source = groups_[here->peer];
  ShardStep step;
  step.kind = StepKind::kImport;
  step.operation = operation;
  step.shard = shard;
  step.epoch = here->epoch;
  step.after = here->copied;
  step.at = here->copying ? here->copying : at ? at : source.clock;
  step.key = here->next_key;
  if (step.at <= step.after) return done(PullAnswer{here->copied, bytes});
  uint64_t keys = random_.Between(1, 8);
  auto it = source.versions.lower_bound(std::max(step.key, here->range.start));
  for (; it != source.versions.end() && here->range.Contains(it->first) && keys > 0; ++it, --keys) {
    for (const auto& [timestamp, value] : it->second) {
      if (timestamp <= step.after || timestamp > step.at) continue;
      shard::AppendRow(&step.rows, {it->first, timestamp, value});
    }
  }
  bool more = it != source.versions.end() && here->range.Contains(it->first);
  if (more) step.next_key = it->first;
  bytes += step.rows.size();
  scheduler_.After(milliseconds(random_.Below(5)), [=, this] {
    auto applied = ApplyStep(id, step);
    if (!applied.ok()) return done(applied.status());
    bool through = !more && step.at >= at;
    if (through) return done(PullAnswer{step.at, bytes});
    PullChunk(id, shard, operation, at, bytes, done);
  });
}

// Only the leader's proposals are committed. One that was deposed hears so, or nothing at all.
void OperationWorld::Propose(size_t replica, const Command& command,
                             const std::function<void(absl::Status)>& done) {
  bool valid = replica == leader_;
  scheduler_.After(milliseconds(random_.Below(10)), [=, this] {
    if (!valid || replica != leader_) {
      if (random_.Chance(0.5)) done(absl::UnavailableError("not the leader"));
      return;
    }
    log_.push_back(command);
    size_t index = log_.size() - 1;
    Replica& leader = replicas_[replica];
    absl::Status status;
    while (leader.applied < log_.size()) {
      auto result = leader.controller.Apply(log_[leader.applied]);
      if (leader.applied++ == index) status = result.status();
    }
    done(status);
    leader.driver->Look();
  });
}

void OperationWorld::CatchUp(size_t replica) {
  Replica& r = replicas_[replica];
  for (; r.applied < log_.size(); ++r.applied) (void)r.controller.Apply(log_[r.applied]);
}

// The one before goes on for a while as if it led; it may be told, or the state of others may reach
// it, at any time.
void OperationWorld::Elect() {
  size_t before = leader_;
  leader_ = random_.Below(replicas_.size());
  ++report_.leaders;
  CatchUp(leader_);
  replicas_[leader_].driver->SetLeads(true);
  if (before == leader_) return;
  scheduler_.After(milliseconds(random_.Below(3000)), [this, before] {
    if (before == leader_) return;
    if (random_.Chance(0.3)) {
      CatchUp(before);
      replicas_[before].driver->Look();
    }
    replicas_[before].driver->SetLeads(false);
  });
}

void OperationWorld::Write() {
  std::string key = KeyNumber(random_.Below(kKeys));
  for (auto& [id, group] : groups_) {
    if (group.table.Serving(key) == nullptr) continue;
    ++report_.writes;
    group.clock = group.clock + 1;
    std::string value = absl::StrCat(++next_value_);
    group.versions[key][group.clock] = value;
    acknowledged_[key] = value;
    return;
  }
  ++report_.refused;
}

// What operators and the scheduler ask for.
void OperationWorld::Operate() {
  std::vector<ShardId> shards;
  for (const auto& [start, s] : state().shards().shards()) shards.push_back(s.id);
  if (shards.empty()) return;
  uint64_t shard = shards[random_.Below(shards.size())].value();
  std::vector<OperationId> open;
  for (const auto& [id, o] : state().operations()) {
    if (IsOpen(o.phase)) open.push_back(id);
  }
  Command command;
  switch (random_.Below(5)) {
    case 0: command = OpenCommand(SplitOf(shard, KeyNumber(random_.Below(kKeys)))); break;
    case 1: command = OpenCommand(MergeOf(shard)); break;
    case 2:
      if (open.empty()) return;
      command =
          AdvanceCommand(open[random_.Below(open.size())], Phase::kRunning, Phase::kCancelling);
      break;
    default: command = OpenCommand(MoveOf(shard, 2 + random_.Below(kGroups)));
  }
  Propose(leader_, command, [](const absl::Status&) {});
}

void OperationWorld::Schedule(Duration mean, void (OperationWorld::*what)()) {
  auto wait =
      Duration(static_cast<int64_t>(random_.Below(2 * static_cast<uint64_t>(mean.count()))));
  scheduler_.After(wait, [=, this] {
    if (!faulting_) return;
    (this->*what)();
    Schedule(mean, what);
  });
}

void OperationWorld::CheckInvariant() {
  for (int i = 0; i < kKeys; ++i) {
    std::string key = KeyNumber(static_cast<uint64_t>(i));
    const Group* owner = nullptr;
    for (const auto& [id, group] : groups_) {
      if (group.table.Serving(key) == nullptr) continue;
      KVD_CHECK_MSG(owner == nullptr, absl::StrCat("two groups serve ", key));
      owner = &group;
    }
    auto written = acknowledged_.find(key);
    if (owner == nullptr || written == acknowledged_.end()) continue;
    auto versions = owner->versions.find(key);
    bool has =
        versions != owner->versions.end() && versions->second.rbegin()->second == written->second;
    KVD_CHECK_MSG(has, absl::StrCat("the group that serves ", key, " lacks ", written->second));
  }
}

// Once nothing is open, the groups have what the map says, and nothing else.
void OperationWorld::CheckAgreement() {
  size_t there = 0;
  for (const auto& [id, group] : groups_) there += group.table.shards().size();
  const ShardMap& map = state().shards();
  KVD_CHECK(there == map.size());
  for (auto it = map.shards().begin(); it != map.end(); ++it) {
    const ShardDescriptor* shard = groups_[it->second.group].table.Find(it->second.id);
    KVD_CHECK(shard != nullptr && shard->state == ShardState::kServing && !shard->operation);
    KVD_CHECK(shard->range == map.RangeOf(it) && shard->epoch == it->second.epoch);
  }
  for (const auto& [id, group] : groups_) {
    for (const auto& [key, versions] : group.versions) {
      KVD_CHECK_MSG(group.table.Serving(key) != nullptr, "what was dropped is still there");
    }
  }
}

OperationWorld::Report OperationWorld::Run(Duration duration) {
  replicas_[0].driver->SetLeads(true);
  auto propose = [this](const Command& command) {
    Propose(0, command, [](const absl::Status& status) { KVD_CHECK(status.ok()); });
    scheduler_.RunUntil(scheduler_.now() + milliseconds(100));
  };
  propose(BootstrapCommand());
  for (uint64_t i = 1; i < kGroups; ++i) propose(OpenCommand(GroupOn({1})));
  Schedule(milliseconds(3), &OperationWorld::Write);
  Schedule(milliseconds(100), &OperationWorld::Operate);
  if (replicas_.size() > 1) Schedule(milliseconds(700), &OperationWorld::Elect);
  scheduler_.RunUntil(scheduler_.now() + duration);
  faulting_ = false;
  scheduler_.RunUntil(scheduler_.now() + std::chrono::seconds(30));
  for (size_t i = 0; i < replicas_.size(); ++i) replicas_[i].driver->SetLeads(i == leader_);
  scheduler_.RunUntil(scheduler_.now() + std::chrono::seconds(60));
  for (const auto& [id, o] : state().operations()) {
    KVD_CHECK_MSG(!IsOpen(o.phase), absl::StrCat("operation ", id.value(), " does not end: ",
                                                 replicas_[leader_].driver->Trouble(id)));
    if (o.phase == Phase::kCancelled) ++report_.cancelled;
    if (o.phase != Phase::kDone) continue;
    report_.moved += o.kind == OperationKind::kMove ? 1 : 0;
    report_.split += o.kind == OperationKind::kSplit ? 1 : 0;
    report_.merged += o.kind == OperationKind::kMerge ? 1 : 0;
  }
  CheckAgreement();
  return report_;
}

}  // namespace kvd::shardctrler
