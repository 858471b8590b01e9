#include "tests/cluster/sequence_writer.h"

#include <unistd.h>

#include <cstdio>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "proto/check.h"
#include "raft/runtime/random.h"
#include "tests/inline_loop.h"

namespace kvd {
namespace {

constexpr GroupId kGroup{1};
constexpr ReplicaId kReplica{1};
constexpr uint64_t kKeys = 500;
constexpr uint64_t kKeptEntries = 100;  // in the log behind what is flushed
constexpr uint64_t kInFlightMax = 16;   // entries handed over and not yet durable

std::string KeyOf(uint64_t i) { return absl::StrCat("key", i % kKeys); }
constexpr char kApplied[] = "applied";

std::string ContentOf(uint64_t i) {
  Random random(i);
  std::string content = absl::StrCat(i, ":");
  // Mostly small, now and then beyond a block of RocksDB's log.
  content.append(random.Chance(0.02) ? random.Below(70'000) : random.Below(400),
                 static_cast<char>('a' + i % 26));
  return content;
}

raft::EntryPtr EntryOf(uint64_t i) {
  auto entry = std::make_shared<raft::Entry>();
  entry->index = Index(i);
  entry->term = Term(1);
  entry->type = raft::EntryType::kCommand;
  entry->data = ContentOf(i);
  return entry;
}

InlineLoop& TheLoop() {
  static InlineLoop loop;
  return loop;
}

[[noreturn]] void Die(const std::string& why) {
  std::fprintf(stderr, "%s\n", why.c_str());
  _exit(70);
}

absl::Status Hole(const std::string& what) { return absl::DataLossError(what); }

}  // namespace

SequenceWriter::~SequenceWriter() { log_.reset(); }

absl::StatusOr<std::unique_ptr<SequenceWriter>> SequenceWriter::Open(const std::string& directory) {
  std::unique_ptr<SequenceWriter> writer(new SequenceWriter());
  auto log = raft::RocksLogStore::Open(directory + "/raft", Die);
  if (!log.ok()) return log.status();
  writer->log_ = *std::move(log);
  storage::RocksEngineOptions options;
  options.write_buffer_bytes = 1 << 20;
  auto engine = storage::RocksEngine::Open(directory + "/data", options);
  if (!engine.ok()) return engine.status();
  writer->engine_ = *std::move(engine);
  auto logs = writer->log_->Load();
  if (!logs.ok()) return logs.status();
  absl::Status status = writer->CheckLog(*logs);
  if (status.ok()) status = writer->CheckState();
  if (status.ok()) status = writer->Replay();
  if (!status.ok()) return status;
  return writer;
}

absl::Status SequenceWriter::CheckLog(const std::vector<raft::GroupLog>& logs) {
  if (logs.empty()) {
    Create();
    return absl::OkStatus();
  }
  const raft::GroupLog& log = logs[0];
  if (logs.size() != 1 || log.group != kGroup || log.replica != kReplica)
    return Hole("the log is another's");
  start_ = last_ = durable_ = log.start.index.value();
  for (const raft::EntryPtr& entry : log.entries) {
    ++last_;
    if (entry->index != Index(last_) || entry->data != ContentOf(last_)) {
      return Hole(absl::StrCat("entry ", last_, " of the log is not what was written"));
    }
  }
  durable_ = last_;
  return absl::OkStatus();
}

absl::Status SequenceWriter::CheckState() {
  auto applied = engine_->Get(kApplied);
  if (!applied.ok()) return applied.status();
  if (applied->has_value() && !absl::SimpleAtoi(**applied, &applied_))
    return Hole("the applied index is no number");
  if (applied_ < start_) {
    return Hole(absl::StrCat("the state ends at ", applied_, ", the log begins behind ", start_));
  }
  if (applied_ > last_)
    return Hole(absl::StrCat("the state is at ", applied_, ", the log ends at ", last_));
  for (uint64_t key = 0; key < kKeys; ++key) {
    auto value = engine_->Get(KeyOf(key));
    if (!value.ok()) return value.status();
    // The last i up to the applied one that writes this key.
    uint64_t i = applied_ >= key ? applied_ - (applied_ - key) % kKeys : 0;
    std::optional<std::string> expected;
    if (i > 0) expected = ContentOf(i);
    if (*value != expected)
      return Hole(absl::StrCat("key ", key, " of the state at ", applied_, " is not entry ", i));
  }
  return absl::OkStatus();
}

absl::Status SequenceWriter::Replay() {
  Apply(last_);
  return CheckState();
}

void SequenceWriter::Create() {
  raft::LogWrite write;
  write.group = kGroup;
  write.replica = kReplica;
  write.reset =
      raft::SnapshotMeta{Index(), Term(), raft::Configuration{{{kReplica, StoreId(1)}}, {}, {}}};
  write.hard_state = raft::HardState{Term(1), kReplica, Index()};
  std::vector<raft::LogWrite> writes;
  writes.push_back(std::move(write));
  log_->WriteNow(writes);
}

void SequenceWriter::Write(uint64_t seed, std::function<void(uint64_t)> acknowledged) {
  acknowledged_ = std::move(acknowledged);
  Random random(seed);
  while (true) {
    Submit(random.Between(1, 5));
    uint64_t durable;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [&] { return durable_ + kInFlightMax >= last_; });
      durable = durable_;
    }
    Apply(durable);
    if (random.Chance(0.02)) FlushAndCut();
  }
}

void SequenceWriter::Submit(uint64_t entries) {
  raft::LogWrite write;
  write.group = kGroup;
  write.hard_state = raft::HardState{Term(1), kReplica, Index(applied_)};
  if (last_ > 0) write.previous = Term(1);
  for (uint64_t i = 0; i < entries; ++i) write.entries.push_back(EntryOf(++last_));
  std::vector<raft::LogWrite> writes;
  writes.push_back(std::move(write));
  log_->Write(&TheLoop(), std::move(writes), [this, last = last_] {
    acknowledged_(last);
    std::lock_guard<std::mutex> lock(mutex_);
    durable_ = last;
    changed_.notify_one();
  });
}

void SequenceWriter::Apply(uint64_t upto) {
  if (applied_ >= upto) return;
  auto batch = engine_->NewBatch();
  while (applied_ < upto) {
    ++applied_;
    batch->Put(KeyOf(applied_), ContentOf(applied_));
  }
  batch->Put(kApplied, std::to_string(applied_));
  absl::Status written = engine_->Write(*batch);
  if (!written.ok()) Die(std::string(written.message()));
}

void SequenceWriter::FlushAndCut() {
  absl::Status flushed = engine_->Flush();
  if (!flushed.ok()) Die(std::string(flushed.message()));
  auto persisted = engine_->GetPersisted(kApplied);
  uint64_t upto = 0;
  KVD_CHECK(persisted.ok() && persisted->has_value() && absl::SimpleAtoi(**persisted, &upto));
  if (upto < start_ + 2 * kKeptEntries) return;
  start_ = upto - kKeptEntries;
  raft::LogWrite write;
  write.group = kGroup;
  write.truncate = raft::SnapshotMeta{Index(start_), Term(1),
                                      raft::Configuration{{{kReplica, StoreId(1)}}, {}, {}}};
  std::vector<raft::LogWrite> writes;
  writes.push_back(std::move(write));
  log_->Write(&TheLoop(), std::move(writes), [] {});
}

}  // namespace kvd
