// Damage in one store's state, found in each of the ways in which it can be: the store goes out,
// comes back with a state from the others, and nobody is told anything wrong. And where nobody
// could help, it stays.
#include "gtest/gtest.h"
#include "proto/crc32c.h"
#include "server/storage/mvcc_key.h"
#include "tests/sim/cluster.h"

namespace kvd::sim {
namespace {

using Rot = storage::MemoryEngine::Rot;

class StateDamage : public testing::Test {
 protected:
  StateDamage() : cluster_(Options()) {
    for (int i = 0; i < 60; ++i) EXPECT_TRUE(Put("key" + std::to_string(i), "value"));
    cluster_.Elapse(std::chrono::seconds(3));  // all of it is flushed
  }

  static ClusterOptions Options() {
    ClusterOptions options;
    options.seed = 41;
    options.voters = 3;
    options.faults = false;
    options.log_entries_kept = 20;
    return options;
  }

  bool Submit(shard::Operation::Type type, const std::string& key, const std::string& value) {
    shard::Command command;
    shard::Operation op;
    op.type = type;
    op.key = key;
    op.value = value;
    op.crc32c = ValueChecksum(key, value);
    command.operations.push_back(op);
    for (int i = 0; i < 100; ++i) {
      if (!cluster_.Await(
              [&] { return cluster_.Leader() != nullptr && cluster_.Leader()->group().ready(); }))
        return false;
      auto status = std::make_shared<std::optional<absl::Status>>();
      cluster_.Leader()->group().Submit(
          command, [status](const auto& result) { *status = result.status(); });
      cluster_.Await([&] { return status->has_value(); }, std::chrono::seconds(2));
      if (status->has_value() && (*status)->ok()) return true;
      cluster_.Elapse(milliseconds(50));
    }
    return false;
  }
  bool Put(const std::string& key, const std::string& value) {
    return Submit(shard::Operation::Type::kPut, key, value);
  }

  // The stored version of `key` decays.
  void Damage(SimStore& store, const std::string& key, Rot rot) {
    std::string prefix = storage::VersionsPrefix(kGroup, key);
    auto at = store.engine().contents().lower_bound(prefix);
    ASSERT_TRUE(at != store.engine().contents().end() && storage::IsVersionOf(prefix, at->first));
    ASSERT_TRUE(store.engine().Damage(at->first, rot));
  }
  absl::StatusOr<std::string> Read(SimStore& store, const std::string& key) {
    auto found = store.group().reader().Get(key, store.group().meta().clock);
    if (!found.ok()) return store.group().Unreadable(found.status());
    return found->has_value() ? std::string((*found)->version.value) : "missing";
  }
  SimStore& Follower() {
    for (auto& [id, store] : cluster_.stores()) {
      if (store.get() != cluster_.Leader()) return *store;
    }
    return *cluster_.Leader();
  }
  void ExpectRebuilt(SimStore& store) {
    EXPECT_TRUE(cluster_.Await(
        [&] {
          if (!store.running() && store.rebuilds() == 0) return false;
          return store.running() && store.rebuilds() == 1 && !store.core().NeedsState();
        },
        std::chrono::seconds(30)))
        << cluster_.Describe();
    EXPECT_TRUE(store.StateIsWhole());
    EXPECT_TRUE(Put("after", "it"));
    cluster_.Elapse(std::chrono::seconds(1));
    for (auto& [id, s] : cluster_.stores()) EXPECT_EQ(Read(*s, "key7").value_or("error"), "value");
    cluster_.VerifyReplicas();
  }

  Cluster cluster_;
};

TEST_F(StateDamage, ALeaderThatReadsItHandsOverAndIsRebuilt) {
  for (Rot rot : {Rot::kUnreadable, Rot::kFlippedBit}) {
    SimStore& leader = *cluster_.Leader();
    if (leader.rebuilds() != 0) continue;
    Damage(leader, "key7", rot);
    EXPECT_TRUE(absl::IsUnavailable(Read(leader, "key7").status()));
    EXPECT_EQ(Read(leader, "key8").value_or("error"), "value");
    // Nobody waits for an election timeout.
    EXPECT_TRUE(cluster_.Await([&] { return cluster_.Leader() != &leader; }, milliseconds(500)));
    ExpectRebuilt(leader);
  }
}

TEST_F(StateDamage, ALeaderThatCannotApplyHandsOverAndIsRebuilt) {
  SimStore& leader = *cluster_.Leader();
  Damage(leader, "key7", Rot::kFlippedBit);
  ASSERT_TRUE(Submit(shard::Operation::Type::kAppend, "key7", "!"));
  EXPECT_TRUE(cluster_.Await([&] { return leader.rebuilds() == 1; }));
  EXPECT_TRUE(cluster_.Await([&] { return leader.running() && !leader.core().NeedsState(); }));
  cluster_.Elapse(std::chrono::seconds(1));
  // Submitted again without a writer, when its outcome was unknown.
  std::string value = Read(leader, "key7").value_or("error");
  EXPECT_TRUE(value == "value!" || value == "value!!") << value;
  for (auto& [id, s] : cluster_.stores()) EXPECT_EQ(Read(*s, "key7").value_or("error"), value);
}

TEST_F(StateDamage, AFollowerThatCannotApplyIsRebuilt) {
  SimStore& follower = Follower();
  Damage(follower, "key9", Rot::kUnreadable);
  ASSERT_TRUE(Submit(shard::Operation::Type::kAppend, "key9", "!"));
  ExpectRebuilt(follower);
}

TEST_F(StateDamage, WhatNobodyReadsIsFoundByAVerification) {
  SimStore& follower = Follower();
  Damage(follower, "key7", Rot::kFlippedBit);
  cluster_.VerifyReplicas();
  ExpectRebuilt(follower);
}

// All find theirs at the same time. One after the other is given up, and the third one keeps its
// own.
TEST_F(StateDamage, TwoAtOnceAreRebuiltOneAfterTheOther) {
  std::vector<SimStore*> damaged;
  for (auto& [id, store] : cluster_.stores()) {
    if (store.get() != cluster_.Leader()) damaged.push_back(store.get());
  }
  Damage(*damaged[0], "key7", Rot::kFlippedBit);
  Damage(*damaged[1], "key8", Rot::kUnreadable);
  cluster_.VerifyReplicas();
  for (SimStore* store : damaged) {
    EXPECT_EQ(store->rebuilds(), 1u);
    EXPECT_EQ(Read(*store, "key7").value_or("error"), "value");
    EXPECT_EQ(Read(*store, "key8").value_or("error"), "value");
  }
}

// The leader's as well: it hands over to the one that is whole.
TEST_F(StateDamage, OfALeaderAndAFollowerAtOnce) {
  SimStore& leader = *cluster_.Leader();
  SimStore& follower = Follower();
  Damage(leader, "key7", Rot::kUnreadable);
  Damage(follower, "key8", Rot::kFlippedBit);
  cluster_.VerifyReplicas();
  EXPECT_EQ(leader.rebuilds() + follower.rebuilds(), 2u);
  for (auto& [id, store] : cluster_.stores()) {
    EXPECT_EQ(Read(*store, "key7").value_or("error"), "value");
    EXPECT_EQ(Read(*store, "key8").value_or("error"), "value");
  }
}

// Each has a good copy of what the others lack: none is given up.
TEST_F(StateDamage, WhereAllAreDamagedAllStay) {
  int i = 7;
  for (auto& [id, store] : cluster_.stores()) {
    store->engine().HoldCompactions();
    Damage(*store, "key" + std::to_string(i), Rot::kFlippedBit);
    (void)Read(*store, "key" + std::to_string(i++));
  }
  cluster_.Elapse(std::chrono::seconds(20));
  for (auto& [id, store] : cluster_.stores()) EXPECT_EQ(store->rebuilds(), 0u);
  EXPECT_TRUE(Put("more", "value"));
}

TEST_F(StateDamage, ALeaderDoesNotSpreadIt) {
  SimStore& leader = *cluster_.Leader();
  SimStore& other = Follower();
  Damage(leader, "key7", Rot::kFlippedBit);
  other.LoseState();
  other.Start();
  ExpectRebuilt(leader);
  EXPECT_TRUE(cluster_.Await([&] { return !other.core().NeedsState(); }));
  EXPECT_EQ(Read(other, "key7").value_or("error"), "value");
}

// The others have lost theirs: what is damaged can't be had, all the rest is served, as long as no
// compaction has to read it.
TEST_F(StateDamage, TheLastOneWithAStateStays) {
  SimStore& last = *cluster_.Leader();
  last.engine().HoldCompactions();
  Damage(last, "key7", Rot::kUnreadable);
  std::vector<SimStore*> others;
  for (auto& [id, store] : cluster_.stores()) {
    if (store.get() != &last) others.push_back(store.get());
  }
  for (SimStore* store : others) store->LoseState();
  for (SimStore* store : others) store->Start();
  for (SimStore* store : others) ASSERT_TRUE(store->core().NeedsState());
  cluster_.Elapse(std::chrono::seconds(20));
  EXPECT_EQ(last.rebuilds(), 0u);
  ASSERT_TRUE(cluster_.Await([&] { return cluster_.Leader() == &last && last.group().ready(); }));
  EXPECT_TRUE(Put("more", "value"));
  EXPECT_EQ(Read(last, "more").value_or("error"), "value");
  EXPECT_TRUE(absl::IsDataLoss(Read(last, "key7").status()));
  for (SimStore* store : others) EXPECT_TRUE(store->core().NeedsState());
}

}  // namespace
}  // namespace kvd::sim
