// The lineage's scenarios of the replicated state machine and the key-value service (MIT 6.824,
// labs 3 and 4), by name, on whole simulated clusters.
#include "gtest/gtest.h"
#include "proto/crc32c.h"
#include "proto/error.h"
#include "tests/sim/cluster.h"

namespace kvd::sim {
namespace {

ClusterOptions Calm(uint64_t seed, int voters = 3) {
  ClusterOptions options;
  options.seed = seed;
  options.voters = voters;
  options.faults = false;
  return options;
}

struct Submitted {
  bool done = false;
  absl::Status status;
  shard::CommandResult result;
};

std::shared_ptr<Submitted> Increment(SimStore& store, const std::string& key) {
  auto submitted = std::make_shared<Submitted>();
  shard::Command command;
  shard::Operation op;
  op.type = shard::Operation::Type::kIncrement;
  op.key = key;
  op.delta = 1;
  command.operations.push_back(op);
  store.group().Submit(std::move(command),
                       [submitted](absl::StatusOr<shard::CommandResult> result) {
                         submitted->done = true;
                         submitted->status = result.status();
                         if (result.ok()) submitted->result = *result;
                       });
  return submitted;
}

int64_t Counter(SimStore& store, const std::string& key) {
  auto found = store.group().reader().Get(key, store.group().meta().clock);
  if (!found.ok() || !found->has_value()) return 0;
  return std::stoll(std::string((*found)->version.value));
}

bool Increments(Cluster& cluster, const std::string& key, int times) {
  int refused = 0;
  for (int i = 0; i < times && refused < 1000;) {
    if (!cluster.Await([&] { return cluster.Leader() != nullptr; })) return false;
    auto submitted = Increment(*cluster.Leader(), key);
    if (!cluster.Await([&] { return submitted->done; })) return false;
    if (submitted->status.ok()) {
      ++i;
    } else {
      ++refused;
      cluster.Elapse(milliseconds(20));
    }
  }
  return refused < 1000;
}

void ExpectCounterEverywhere(Cluster& cluster, const std::string& key, int64_t value) {
  EXPECT_TRUE(cluster.Await([&] {
    for (auto& [id, store] : cluster.stores()) {
      if (store->running() && Counter(*store, key) != value) return false;
    }
    return true;
  }));
}

// --- Replicated state machine ---

TEST(ReplicatedStateMachine, CounterIsEqualEverywhere) {
  Cluster cluster(Calm(1));
  ASSERT_TRUE(Increments(cluster, "n", 10));
  ExpectCounterEverywhere(cluster, "n", 10);
}

TEST(ReplicatedStateMachine, LeaderFailure) {
  Cluster cluster(Calm(2));
  ASSERT_TRUE(Increments(cluster, "n", 5));
  SimStore* leader = cluster.Leader();
  leader->Crash();
  ASSERT_TRUE(Increments(cluster, "n", 5));
  leader->Start();
  ExpectCounterEverywhere(cluster, "n", 10);
}

TEST(ReplicatedStateMachine, LeaderPartitionMinoritySubmitsNeverCommit) {
  Cluster cluster(Calm(3, 5));
  ASSERT_TRUE(Increments(cluster, "n", 3));
  SimStore* old = cluster.Leader();
  uint64_t with = old->id().value() % 5 + 1;
  cluster.Partition({old->id().value(), with});
  std::vector<std::shared_ptr<Submitted>> lost;
  lost.reserve(100);
  for (int i = 0; i < 100; ++i) lost.push_back(Increment(*old, "lost"));
  ASSERT_TRUE(
      cluster.Await([&] { return cluster.Leader() != nullptr && cluster.Leader() != old; }));
  ASSERT_TRUE(Increments(cluster, "n", 3));
  for (auto& submitted : lost) EXPECT_FALSE(submitted->done && submitted->status.ok());
  cluster.network().MendAll();
  ASSERT_TRUE(cluster.Await([&] {
    for (auto& submitted : lost) {
      if (!submitted->done) return false;
    }
    return true;
  })) << "they complete or fail after the partition heals";
  ASSERT_TRUE(Increments(cluster, "n", 1));
  ExpectCounterEverywhere(cluster, "n", 7);
  ExpectCounterEverywhere(cluster, "lost", 0);
}

TEST(ReplicatedStateMachine, RestartAndReplay) {
  Cluster cluster(Calm(4));
  ASSERT_TRUE(Increments(cluster, "n", 20));
  for (auto& [id, store] : cluster.stores()) store->Crash();
  for (auto& [id, store] : cluster.stores()) store->Start();
  ASSERT_TRUE(Increments(cluster, "n", 1));
  ExpectCounterEverywhere(cluster, "n", 21);
}

TEST(ReplicatedStateMachine, StateIsKeptOverASecondRestart) {
  Cluster cluster(Calm(7));
  for (int64_t round = 1; round <= 3; ++round) {
    ASSERT_TRUE(Increments(cluster, "n", 5));
    for (auto& [id, store] : cluster.stores()) store->Crash();
    for (auto& [id, store] : cluster.stores()) store->Start();
    ASSERT_TRUE(Increments(cluster, "mark", 1));
    ExpectCounterEverywhere(cluster, "n", 5 * round);
  }
}

TEST(ReplicatedStateMachine, ShutdownEndsPendingSubmits) {
  Cluster cluster(Calm(5));
  ASSERT_TRUE(Increments(cluster, "n", 1));
  SimStore* leader = cluster.Leader();
  cluster.Partition({leader->id().value()});
  auto pending = Increment(*leader, "n");
  leader->Crash();
  EXPECT_TRUE(pending->done);
  EXPECT_EQ(InfoOf(pending->status).kind, ErrorKind::kOutcomeUnknown);
}

TEST(ReplicatedStateMachine, ASubmitAfterRestartIsNotConfusedWithOneBefore) {
  Cluster cluster(Calm(6));
  ASSERT_TRUE(Increments(cluster, "n", 1));
  SimStore* leader = cluster.Leader();
  cluster.Partition({leader->id().value()});
  (void)Increment(*leader, "before");
  leader->Crash();
  cluster.network().MendAll();
  leader->Start();
  ASSERT_TRUE(Increments(cluster, "after", 1));
  ExpectCounterEverywhere(cluster, "after", 1);
}

// --- Key-value service ---

void RunService(uint64_t seed, int clients, bool unreliable, bool partitions, bool crashes,
                uint64_t log_entries_kept = 0, int keys = 0) {
  ClusterOptions options = Calm(seed, partitions ? 5 : 3);
  options.log_entries_kept = log_entries_kept;
  options.keys = keys;
  Cluster cluster(options);
  if (unreliable) {
    cluster.network().faults.loss = 0.1;
    cluster.network().faults.late_chance = 0.05;
  }
  cluster.StartClients(clients);
  Random random(seed);
  for (int round = 0; round < 10; ++round) {
    if (partitions) {
      cluster.network().MendAll();
      std::vector<uint64_t> side;
      for (uint64_t id = 1; id <= 5; ++id) {
        if (random.Chance(0.5)) side.push_back(id);
      }
      cluster.Partition(side);
    }
    cluster.Elapse(milliseconds(1500));
    if (!crashes) continue;
    for (auto& [id, store] : cluster.stores()) store->Crash();
    for (auto& [id, store] : cluster.stores()) store->Start();
  }
  for (auto& client : cluster.clients()) client->Stop();
  cluster.Heal();
  ASSERT_TRUE(cluster.Await(
      [&] {
        for (auto& client : cluster.clients()) {
          if (!client->idle()) return false;
        }
        return true;
      },
      std::chrono::seconds(20)));
  cluster.Converge();
  cluster.CheckHistories();
  uint64_t operations = 0;
  for (auto& client : cluster.clients()) operations += client->operations();
  EXPECT_GT(operations, 20u);
}

TEST(KeyValueService, Basic) { RunService(11, 1, false, false, false); }
TEST(KeyValueService, Concurrent) { RunService(12, 5, false, false, false); }
TEST(KeyValueService, Unreliable) { RunService(13, 5, true, false, false); }
TEST(KeyValueService, ManyPartitionsOneClient) { RunService(14, 1, false, true, false); }
TEST(KeyValueService, ManyPartitionsManyClients) { RunService(15, 5, false, true, false); }
TEST(KeyValueService, PersistOneClient) { RunService(16, 1, false, false, true); }
TEST(KeyValueService, PersistConcurrent) { RunService(17, 5, false, false, true); }
TEST(KeyValueService, PersistConcurrentUnreliable) { RunService(18, 5, true, false, true); }
TEST(KeyValueService, PersistWithPartition) { RunService(19, 5, false, true, true); }
TEST(KeyValueService, PersistWithPartitionUnreliable) { RunService(20, 5, true, true, true); }

TEST(KeyValueService, OneKeyUnreliable) { RunService(22, 5, true, false, false, 0, 1); }
TEST(KeyValueService, SnapshotRecoverManyClients) { RunService(23, 10, false, false, true, 10); }
TEST(KeyValueService, SnapshotUnreliable) { RunService(24, 5, true, false, false, 10); }
TEST(KeyValueService, SnapshotUnreliableRecover) { RunService(25, 5, true, false, true, 10); }
TEST(KeyValueService, SnapshotUnreliableRecoverConcurrentPartitions) {
  RunService(26, 5, true, true, true, 10);
}

// A thousand operations of one client in a row, each waiting for the one before.
// Stands still for a second after each read, before the answer.
class SlowReader : public FaultInjector {
 public:
  void Pass(FaultPoint point) override {
    if (point != FaultPoint::kReadDone) return;
    ++reads;
    if (stands_still) SimLoop::Running()->Skip(std::chrono::seconds(1));
  }
  bool stands_still = false;
  int reads = 0;
};

// Who may lead by then is for a quorum to say, not for a lease that was.
TEST(KeyValueService, ALeaseThatRanOutWhileReadingIsNotTrusted) {
  Cluster cluster(Calm(26));
  ASSERT_TRUE(Increments(cluster, "n", 1));
  SlowReader reader;
  FaultInjector* before = std::exchange(fault_injector, &reader);
  SimStore& leader = *cluster.Leader();
  auto answered = [&] {
    auto good = std::make_shared<bool>(false);
    service::RequestItem item;
    item.mutable_get()->set_key("n");
    cluster.network().endpoints[leader.id().value()].on_request(
        item, [good](const service::ResponseItem& answer) { *good = answer.has_get(); });
    cluster.Await([&] { return *good; }, std::chrono::seconds(3));
    return *good;
  };
  EXPECT_TRUE(answered());
  EXPECT_EQ(reader.reads, 1);
  reader.stands_still = true;
  EXPECT_TRUE(answered());
  EXPECT_EQ(reader.reads, 3) << "it was not read again";
  cluster.Partition({leader.id().value()});
  ASSERT_TRUE(leader.core().IsLeader());
  EXPECT_FALSE(answered());
  fault_injector = before;
}

TEST(KeyValueService, SpeedOfSequentialOperations) {
  Cluster cluster(Calm(27));
  ASSERT_TRUE(Increments(cluster, "n", 1000));
  ExpectCounterEverywhere(cluster, "n", 1000);
}

// The log, and so a snapshot's worth of it, stays small however much is written.
TEST(KeyValueService, SnapshotSizeKeepsTheLogSmall) {
  ClusterOptions options = Calm(28);
  options.log_entries_kept = 20;
  Cluster cluster(options);
  ASSERT_TRUE(Increments(cluster, "n", 500));
  cluster.Elapse(std::chrono::seconds(5));
  const raft::Log& log = cluster.Leader()->core().log();
  EXPECT_LT(log.last_index() - log.start(), 60u);
}

TEST(KeyValueService, OnePartitionMinorityBlocksAndCompletesOnHeal) {
  Cluster cluster(Calm(21, 5));
  SimStore* leader = cluster.Leader();
  uint64_t with = leader->id().value() % 5 + 1;
  cluster.Partition({leader->id().value(), with});
  auto blocked = Increment(*leader, "n");
  cluster.Elapse(milliseconds(300));
  EXPECT_FALSE(blocked->done && blocked->status.ok());
  ASSERT_TRUE(cluster.Await([&] { return cluster.Leader() != leader; }));
  ASSERT_TRUE(Increments(cluster, "n", 1));
  cluster.network().MendAll();
  ASSERT_TRUE(cluster.Await([&] { return blocked->done; }));
  ASSERT_TRUE(Increments(cluster, "n", 1));
}

TEST(KeyValueService, SnapshotALaggardCatchesUp) {
  // A seed whose log keeps only 20 entries.
  for (uint64_t seed = 30; seed < 40; ++seed) {
    Cluster cluster(Calm(seed));
    ASSERT_TRUE(Increments(cluster, "n", 1));
    SimStore* laggard = nullptr;
    for (auto& [id, store] : cluster.stores()) {
      if (store.get() != cluster.Leader()) laggard = store.get();
    }
    laggard->Crash();
    ASSERT_TRUE(Increments(cluster, "n", 60));
    cluster.Elapse(std::chrono::seconds(3));
    bool truncated = cluster.Leader()->core().log().start() > laggard->last_at_crash();
    laggard->Start();
    ExpectCounterEverywhere(cluster, "n", 61);
    if (!truncated) continue;
    // The state is there first, then the log behind it.
    EXPECT_TRUE(cluster.Await([&] {
      return laggard->process().host->counters().snapshots_installed > 0;
    })) << cluster.Describe();
    return;
  }
  FAIL() << "no seed truncated its log";
}

// A replica whose state is gone, while its log begins behind what the state would have to hold: it
// votes by its log, never leads, and is whole again once a snapshot came.
TEST(Storage, ALostStateIsFetchedAndDoesNotLead) {
  ClusterOptions options = Calm(29);
  options.log_entries_kept = 20;
  Cluster cluster(options);
  ASSERT_TRUE(Increments(cluster, "n", 100));
  cluster.Elapse(std::chrono::seconds(3));
  SimStore* lost = cluster.Leader();
  ASSERT_GT(lost->core().log().start(), Index());
  lost->LoseState();
  lost->Start();
  ASSERT_TRUE(lost->core().NeedsState());
  // One of the others hears nothing: the new leader needs the vote of the replica without a state.
  SimStore* other = nullptr;
  for (auto& [id, store] : cluster.stores()) {
    if (store.get() != lost) other = store.get();
  }
  cluster.Partition({other->id().value()});
  ASSERT_TRUE(cluster.Await([&] {
    EXPECT_FALSE(lost->core().IsLeader() && lost->core().NeedsState());
    return cluster.Leader() != nullptr && !lost->core().NeedsState();
  })) << cluster.Describe();
  EXPECT_EQ(lost->process().host->counters().snapshots_installed, 1u);
  cluster.network().MendAll();
  ASSERT_TRUE(Increments(cluster, "n", 1));
  ExpectCounterEverywhere(cluster, "n", 101);
}

// Two that send their states at once, since neither knows of the other: one is taken, not both from
// the beginning again and again.
TEST(Storage, TwoSnapshotsAtOnceDoNotKeepEachOtherOut) {
  ClusterOptions options = Calm(29);
  options.log_entries_kept = 20;
  Cluster cluster(options);
  ASSERT_TRUE(Increments(cluster, "n", 100));
  cluster.Elapse(std::chrono::seconds(3));
  SimStore* lost = cluster.Leader();
  cluster.Partition({lost->id().value()});
  lost->LoseState();
  lost->Start();
  ASSERT_TRUE(lost->core().NeedsState());
  std::vector<std::unique_ptr<raft::SnapshotReader>> readers;
  std::vector<raft::SnapshotChunk> headers;
  for (auto& [id, store] : cluster.stores()) {
    if (store.get() == lost) continue;
    readers.push_back(*store->group().TakeSnapshot());
    raft::SnapshotChunk& header = headers.emplace_back();
    header.group = kGroup;
    header.from = store->core().id();
    header.to = lost->core().id();
    header.snapshot_id = id.value();
    header.meta = readers.back()->meta();
    header.meta.configuration = lost->core().configuration();
  }
  ASSERT_FALSE(readers[0]->Read(0)->last);
  for (uint64_t sequence = 0; lost->core().NeedsState(); ++sequence) {
    for (size_t i = 0; i < readers.size() && lost->core().NeedsState(); ++i) {
      auto read = readers[i]->Read(sequence);
      ASSERT_TRUE(read.ok()) << read.status();
      raft::SnapshotChunk chunk = headers[i];
      chunk.sequence = sequence;
      chunk.data = read->data;
      chunk.crc32c = Crc32c(chunk.data);
      chunk.last = read->last;
      ASSERT_TRUE(sequence < 1000);
      lost->process().host->OnChunk(StoreId(headers[i].snapshot_id), chunk);
      if (chunk.last) cluster.Elapse(milliseconds(100));
      ASSERT_TRUE(!chunk.last || !lost->core().NeedsState());
    }
  }
  cluster.network().MendAll();
  ExpectCounterEverywhere(cluster, "n", 100);
}

// Memory is bounded by what lives, not by what was written: overwritten values go with the history.
TEST(KeyValueService, OverwrittenLargeValuesAreDropped) {
  for (uint64_t seed = 50; seed < 60; ++seed) {
    Cluster cluster(Calm(seed));
    SimStore* leader = cluster.Leader();
    for (int i = 0; i < 40; ++i) {
      shard::Command command;
      shard::Operation op;
      op.key = "large";
      op.value = std::string(10'000, 'x');
      op.crc32c = ValueChecksum(op.key, op.value);
      command.operations.push_back(op);
      bool done = false;
      leader->group().Submit(std::move(command), [&](const auto&) { done = true; });
      ASSERT_TRUE(cluster.Await([&] { return done; }));
      cluster.Elapse(milliseconds(100));
    }
    // Only where history is kept for 2 s can it go within this test.
    cluster.Elapse(std::chrono::seconds(4));
    ASSERT_TRUE(Increments(cluster, "n", 1));
    cluster.Elapse(std::chrono::seconds(4));
    const shard::GroupMeta& meta = leader->group().meta();
    if (MillisOf(meta.clock) - MillisOf(meta.safe_point) > 60'000) continue;
    EXPECT_LT(leader->engine().DiskBytes(), 250'000u);
    return;
  }
  FAIL() << "no seed with a short retention";
}

// A store's wall clock is an hour ahead of the others': what it verifies is still new.
TEST(KeyValueService, AVerificationBeginsWhereAWallClockIsAhead) {
  Cluster cluster(Calm(71));
  SimStore* leader = cluster.Leader();
  for (auto& [id, store] : cluster.stores()) {
    if (store.get() != leader) store->process().loop->set_wall_offset_ms(3'600'000);
    if (store.get() != leader) break;
  }
  shard::Command command;
  command.kind = shard::CommandKind::kVerify;
  command.verification = 5;
  leader->group().Submit(std::move(command), [](const auto& result) { EXPECT_TRUE(result.ok()); });
  EXPECT_TRUE(cluster.Await([&] {
    return std::all_of(cluster.stores().begin(), cluster.stores().end(), [](const auto& item) {
      const auto* found = item.second->process().verifier->Find(5);
      return found != nullptr && found->done;
    });
  }));
}

// A key's time to live ends in an idle group too, since the clock is logged.
TEST(KeyValueService, ExpiryNeedsNoWrites) {
  Cluster cluster(Calm(70));
  SimStore* leader = cluster.Leader();
  shard::Command command;
  shard::Operation op;
  op.key = "fleeting";
  op.value = "x";
  op.crc32c = ValueChecksum(op.key, op.value);
  op.ttl_ms = 500;
  command.operations.push_back(op);
  bool done = false;
  leader->group().Submit(std::move(command), [&](const auto&) { done = true; });
  ASSERT_TRUE(cluster.Await([&] { return done; }));
  auto alive = [&](SimStore& store) {
    auto found = store.group().reader().Get("fleeting", store.group().meta().clock);
    return found.ok() && found->has_value();
  };
  EXPECT_TRUE(alive(*leader));
  cluster.Elapse(milliseconds(1500));
  for (auto& [id, store] : cluster.stores()) EXPECT_FALSE(alive(*store));
}

}  // namespace
}  // namespace kvd::sim
