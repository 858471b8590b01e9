// Protocol-aware recovery (Alagappan et al., FAST 2018): a replica with a damaged entry neither
// votes nor truncates until the others repaired it.
#include "gtest/gtest.h"
#include "tests/raft/core/harness.h"

namespace kvd::raft {
namespace {

class RepairTest : public testing::Test {
 protected:
  RepairTest() : cluster_(3) { leader_ = cluster_.ElectLeader(); }

  uint64_t Other(int n) const { return (leader_ - 1 + static_cast<uint64_t>(n)) % 3 + 1; }
  Index Write(const std::string& command) {
    auto index = cluster_.Propose(leader_, command);
    EXPECT_TRUE(index.ok());
    cluster_.Stabilize();
    return *index;
  }
  void DamageAndRestart(uint64_t id, Index index) {
    cluster_.node(id).disk->damaged.insert(index);
    cluster_.Restart(id);
  }

  Harness cluster_;
  uint64_t leader_ = 0;
};

TEST_F(RepairTest, ADamagedEntryIsFetchedFromWhoeverHasIt) {
  Index first = Write("a");
  Write("b");
  uint64_t victim = Other(1);
  DamageAndRestart(victim, first);
  EXPECT_TRUE(cluster_.core(victim).NeedsRepair());
  // What lies behind it is known by its term and index, what lies before it is in doubt.
  EXPECT_EQ(*cluster_.core(victim).damaged().rbegin(), first);
  cluster_.Elapse(milliseconds(400));
  EXPECT_FALSE(cluster_.core(victim).NeedsRepair());
  EXPECT_TRUE(cluster_.node(victim).disk->damaged.empty());
  Write("c");
  cluster_.Elapse(milliseconds(400));
  EXPECT_EQ(cluster_.node(victim).applied.size(), 3u);
}

TEST_F(RepairTest, WithoutALeaderAPeerRepairsItToo) {
  Index index = Write("a");
  uint64_t victim = Other(1), peer = Other(2);
  cluster_.Stop(leader_);
  DamageAndRestart(victim, index);
  cluster_.Elapse(std::chrono::seconds(5));
  EXPECT_FALSE(cluster_.core(victim).NeedsRepair());
  EXPECT_TRUE(cluster_.core(victim).IsLeader() || cluster_.core(peer).IsLeader());
}

TEST_F(RepairTest, ItNeitherVotesNorTruncatesUntilItIsRepaired) {
  cluster_.Isolate(Other(2));
  Index index = Write("committed by two");
  uint64_t victim = Other(1), laggard = Other(2);
  cluster_.Stop(leader_);
  DamageAndRestart(victim, index);
  cluster_.Heal();
  // The laggard would win with its vote, and lose the entry.
  cluster_.Elapse(std::chrono::seconds(10));
  EXPECT_FALSE(cluster_.core(laggard).IsLeader());
  EXPECT_TRUE(cluster_.core(victim).NeedsRepair());
  EXPECT_EQ(cluster_.core(victim).log().last_index(), index);
  cluster_.Restart(leader_);
  cluster_.Elapse(std::chrono::seconds(5));
  EXPECT_FALSE(cluster_.core(victim).NeedsRepair());
  EXPECT_EQ(cluster_.node(victim).disk->entries.at(index)->data, "committed by two");
}

TEST_F(RepairTest, WhatTheLeaderNeverHadIsReplacedWhole) {
  Write("a");
  // Alone, it appends what nobody else gets.
  uint64_t victim = leader_;
  cluster_.Isolate(victim);
  auto lost = cluster_.Propose(victim, "never committed");
  ASSERT_TRUE(lost.ok());
  cluster_.Elapse(std::chrono::seconds(3));
  cluster_.Stop(victim);
  leader_ = cluster_.ElectLeader();
  Write("b");
  cluster_.Heal();
  DamageAndRestart(victim, *lost);
  EXPECT_TRUE(cluster_.core(victim).NeedsRepair());
  cluster_.Elapse(std::chrono::seconds(3));
  EXPECT_FALSE(cluster_.core(victim).NeedsRepair());
  EXPECT_EQ(cluster_.core(victim).log().last_index(), cluster_.core(leader_).log().last_index());
}

TEST_F(RepairTest, EachGivesWhatTheOtherLacks) {
  Index first = Write("a");
  Index second = Write("b");
  uint64_t one = Other(1), two = Other(2);
  cluster_.Stop(leader_);
  DamageAndRestart(one, first);
  DamageAndRestart(two, second);
  cluster_.Elapse(std::chrono::seconds(5));
  EXPECT_FALSE(cluster_.core(one).NeedsRepair());
  EXPECT_FALSE(cluster_.core(two).NeedsRepair());
  EXPECT_TRUE(cluster_.core(one).IsLeader() || cluster_.core(two).IsLeader());
}

TEST_F(RepairTest, IfNobodyHasItTheyWaitAndSaySo) {
  cluster_.Isolate(Other(2));
  Index index = Write("committed by two");
  cluster_.Elapse(milliseconds(200));
  uint64_t one = leader_, two = Other(1);
  DamageAndRestart(one, index);
  DamageAndRestart(two, index);
  cluster_.Heal();
  cluster_.Elapse(std::chrono::seconds(10));
  for (uint64_t id : {one, two}) {
    EXPECT_TRUE(cluster_.core(id).NeedsRepair());
    EXPECT_EQ(cluster_.core(id).Unrepairable(), index);
  }
  EXPECT_FALSE(cluster_.core(Other(2)).IsLeader());
}

}  // namespace
}  // namespace kvd::raft
