#include "tests/shardctrler/large_cluster.h"

#include <malloc.h>

#include <algorithm>
#include <ctime>

#include "absl/strings/str_format.h"
#include "proto/check.h"
#include "proto/crc32c.h"
#include "server/storage/memory_engine.h"
#include "tests/shardctrler/commands.h"

namespace kvd::shardctrler {
namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr uint32_t kCores = 32;
constexpr uint64_t kVoters = 3;

// Records that nobody reads again.
class Nowhere : public storage::RecordSink {
 public:
  void Put(std::string_view, std::string_view) override {}
  void Delete(std::string_view) override {}
};

// Records as a controller's group has them on its engine.
class OnEngine : public storage::RecordSink {
 public:
  explicit OnEngine(storage::Engine* engine) : engine_(engine), batch_(engine->NewBatch()) {}
  void Put(std::string_view key, std::string_view value) override {
    storage::Version version;
    version.crc32c = ValueChecksum(key, value);
    version.value = value;
    batch_->Put(storage::VersionKey(kControllerGroup, key, Timestamp(1)), storage::Encode(version));
  }
  void Delete(std::string_view) override { KVD_CHECK(false); }
  void Write() { KVD_CHECK(engine_->Write(*batch_).ok()); }

 private:
  storage::Engine* const engine_;
  std::unique_ptr<storage::WriteBatch> batch_;
};

std::string Zone(uint64_t number) { return absl::StrCat("z", number); }

double CpuMs() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

// Of the heap. 0 where the allocator does not tell.
uint64_t HeapBytes() {
  struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

}  // namespace

std::string Effort::ToString() const {
  return absl::StrFormat(
      "%d decisions, CPU %.3f ms each, at most %.3f ms; %d replicas added (%.1f GB), %d shards "
      "moved (%.1f GB), %d of them again, %d other operations",
      decisions, decisions == 0 ? 0.0 : cpu_ms / static_cast<double>(decisions), cpu_ms_max,
      replicas, static_cast<double>(replica_bytes) / 1e9, moves,
      static_cast<double>(moved_bytes) / 1e9, moved_again, others);
}

LargeCluster::LargeCluster(const LargeOptions& options) : options_(options) {
  uint64_t before = HeapBytes();
  Build();
  uint64_t built = HeapBytes();
  state_bytes_ = built - before;
  Tell();
  load_bytes_ = HeapBytes() - built;
  view_.load = &load_;
  view_.dwelling = &dwelling_;
}

// What a controller has whose cluster grew, as its records would say it.
void LargeCluster::Build() {
  storage::MemoryEngine engine;
  OnEngine records(&engine);
  {
    State made;
    auto store_of = [this](uint64_t n) { return StoreId(1 + n % options_.stores); };
    for (uint64_t n = 0; n < options_.stores; ++n) {
      JoiningStore j = StoreNumber(n + 1, Zone(n % options_.zones));
      made.Put(StoreId(n + 1), {j.address, j.nonce, StoreState::kServing, kCores, j.labels},
               &records);
    }
    next_store_ = options_.stores;
    uint64_t replica = 0;
    for (uint64_t g = 0; g <= options_.groups; ++g) {
      Group group{GroupState::kServing, {}, {}};
      // The controller's has five. Stores that follow each other are in different zones.
      uint64_t voters = g == 0 ? 5 : kVoters;
      for (uint64_t i = 0; i < voters; ++i, ++replica)
        group.replicas.push_back({ReplicaId(replica + 1), store_of(replica)});
      made.Put(GroupId(g + 1), group, &records);
    }
    for (uint64_t s = 0; s < options_.shards; ++s) {
      std::string start = s == 0 ? "" : absl::StrFormat("key%09d", s);
      made.PutShard(start, {ShardId(s + 1), Epoch(1), GroupId(2 + s % options_.groups), {}},
                    &records);
    }
    Ids ids{ClusterId(7),
            ConfigNumber(1),
            StoreId(next_store_ + 1),
            GroupId(options_.groups + 2),
            ReplicaId(replica + 1),
            ShardId(options_.shards + 1)};
    made.Put(ids, &records);
    made.PutSetting("replica-changes-at-once", options_.changes_at_once, &records);
    made.PutSetting("moves-at-once", options_.moves_at_once, &records);
    records.Write();
  }
  KVD_CHECK(machine_.Load(storage::MvccReader(&engine, kControllerGroup), Timestamp(1)).ok());
}

// Each shard is like the one of the same row in any other group.
void LargeCluster::Tell() {
  for (const auto& [start, shard] : state().shards().shards()) {
    uint64_t row = (shard.id.value() - 1) / options_.groups;
    ShardReport report;
    report.epoch = shard.epoch;
    report.group = shard.group;
    report.bytes = (10 + row % 8 * 5) * kMiB;
    report.reads = static_cast<double>(row % 5) * 50;
    report.writes = static_cast<double>(row % 3) * 20;
    if (options_.shard_bytes > 0) {
      report.bytes = options_.shard_bytes;
      report.reads = report.writes = 0;
    }
    load_.Note(shard.id, report);
  }
  for (const auto& [id, group] : state().groups())
    load_.NoteTransfer(id, group.replicas[id.value() % group.replicas.size()].store);
}

void LargeCluster::Apply(const Command& command) {
  ++index_;
  now_ = now_ + 1'000;
  Nowhere records;
  auto answer = machine_.Apply(Encode(command), {index_, now_}, &records);
  KVD_CHECK_MSG(answer.ok(), std::string(answer.status().message()));
}

std::set<StoreId> LargeCluster::Lose(uint64_t zone) {
  std::set<StoreId> lost;
  for (const auto& [id, store] : state().stores()) {
    if (store.labels.at("zone") != Zone(zone)) continue;
    view_.silence[id] = std::chrono::hours(1);
    load_.Forget(id);
    lost.insert(id);
  }
  return lost;
}

void LargeCluster::Join(uint64_t zone, uint64_t count) {
  std::vector<JoiningStore> stores;
  for (uint64_t i = 0; i < count; ++i)
    stores.push_back(StoreNumber(++next_store_, Zone(zone), kCores / 4));
  Apply(JoinCommand(std::move(stores)));
}

bool LargeCluster::Turn(Effort* effort) {
  size_t before = effort->replicas + effort->moves + effort->others;
  Open(effort);
  bool idle = before == effort->replicas + effort->moves + effort->others;
  if (idle && state().open_operations() == 0) return dwelling_.size() > 0;
  Step();
  return true;
}

Effort LargeCluster::Settle() {
  Effort effort;
  uint64_t turns = 0;
  while (Turn(&effort)) KVD_CHECK_MSG(++turns < 100'000, "it never comes to rest");
  state().CheckState();
  return effort;
}

void LargeCluster::Open(Effort* effort) {
  double before = CpuMs();
  clock_ += milliseconds(500);
  load_.Follow(state());
  dwelling_.Follow(state(), clock_);
  std::vector<Operation> operations = planner_.Next(state(), view_);
  double took = CpuMs() - before;
  ++effort->decisions;
  effort->cpu_ms += took;
  effort->cpu_ms_max = std::max(effort->cpu_ms_max, took);
  for (Operation& o : operations) {
    if (o.kind == OperationKind::kChangeReplicas) {
      effort->replicas += o.added.size();
      effort->replica_bytes += o.added.size() * load_.Of(o.group).bytes;
    } else if (o.kind == OperationKind::kMove) {
      ++effort->moves;
      effort->moved_bytes += load_.Find(o.shard)->bytes;
      effort->moved_again += moved_[o.shard]++ > 0 ? 1 : 0;
    } else {
      ++effort->others;
    }
    Apply(OpenCommand(std::move(o)));
  }
}

void LargeCluster::Step() {
  std::vector<std::pair<OperationId, Operation>> open;
  for (const auto& [id, o] : state().operations()) {
    if (IsOpen(o.phase)) open.emplace_back(id, o);
  }
  for (auto& [id, o] : open) Apply(AdvanceCommand(id, o.phase, NextOf(o)));
}

uint64_t LargeCluster::BytesOn(StoreId store) const {
  uint64_t bytes = 0;
  for (GroupId id : state().group_table().On(store)) bytes += load_.Of(id).bytes;
  return bytes;
}

std::map<StoreId, uint64_t> LargeCluster::ReplicaCounts() const {
  std::map<StoreId, uint64_t> counts;
  for (const auto& [id, store] : state().stores()) counts[id] = state().group_table().On(id).size();
  return counts;
}

uint64_t LargeCluster::Replicas() const {
  uint64_t replicas = 0;
  for (const auto& [id, group] : state().groups()) replicas += group.replicas.size();
  return replicas;
}

}  // namespace kvd::shardctrler
