// A group brought back from one replica after a majority is gone for good (Core::StandAlone): what
// that replica had stays, the group grows again, and those that are gone do no harm if they come
// back after all.
#include <algorithm>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/raft/core/harness.h"

namespace kvd::raft {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr Duration kSilence = milliseconds(600) * (Core::kSilentTimeouts + 2);

absl::Status StandAlone(Harness& h, uint64_t id) {
  const Log& log = h.core(id).log();
  auto index = h.core(id).StandAlone(h.now(), log.last_index(), log.last_term());
  h.Drain();
  return index.status();
}

std::string Why(const absl::Status& status) { return std::string(status.message()); }

std::vector<std::string> Applied(Harness& h, uint64_t id) {
  std::vector<std::string> commands;
  for (const EntryPtr& entry : h.node(id).applied) commands.push_back(entry->data);
  return commands;
}

// Three voters, led by 1; "both" is everywhere, "lost" on 1 and 2 alone, which are down.
void LoseTwo(Harness& h) {
  h.Campaign(1);
  h.Stabilize();
  ASSERT_TRUE(h.Propose(1, "both").ok());
  h.Elapse(milliseconds(300));
  h.Isolate(3);
  ASSERT_TRUE(h.Propose(1, "lost").ok());
  h.Stabilize();
  ASSERT_EQ(h.core(2).log().last_index(), h.core(1).commit_index());
  h.Stop(1);
  h.Stop(2);
  h.Heal();
  h.Elapse(kSilence);
  h.GiveUpBehind(h.core(3).log().last_index());
}

// Gives the group that 3 leads the voters 4 and 5.
void GrowToThree(Harness& h) {
  MembershipChange add;
  for (uint64_t id : {4, 5}) {
    h.AddNode(id);
    add.add_learners.push_back({ReplicaId(id), StoreId(id)});
  }
  ASSERT_TRUE(h.core(3).ChangeMembership(h.now(), add).ok());
  h.Elapse(milliseconds(500));
  MembershipChange promote;
  promote.promote = {ReplicaId(4), ReplicaId(5)};
  ASSERT_TRUE(h.core(3).ChangeMembership(h.now(), promote).ok());
  h.Elapse(milliseconds(500));
  ASSERT_EQ(h.core(3).configuration().voters.size(), 3u);
  ASSERT_FALSE(h.core(3).configuration().IsJoint());
}

TEST(StandAlone, WhatTheSurvivorHasStaysAndTheGroupGrowsAgain) {
  Harness h(3);
  LoseTwo(h);
  Term before = h.core(3).term();
  ASSERT_TRUE(StandAlone(h, 3).ok());
  h.Stabilize();
  EXPECT_TRUE(h.core(3).IsLeader());
  EXPECT_GE(h.core(3).term(), before + Core::kTermsSkipped);
  EXPECT_THAT(h.core(3).configuration().expelled, ElementsAre(ReplicaId(1), ReplicaId(2)));
  EXPECT_TRUE(h.core(3).KnowsCommitted());
  ASSERT_TRUE(h.Propose(3, "new").ok());
  h.Stabilize();
  EXPECT_THAT(Applied(h, 3), ElementsAre("both", "new"));
  GrowToThree(h);
  EXPECT_THAT(Applied(h, 4), ElementsAre("both", "new"));
  // Any majority of the new ones goes on.
  h.Stop(3);
  h.Elapse(milliseconds(3000));
  EXPECT_TRUE(h.core(4).IsLeader() || h.core(5).IsLeader());
}

TEST(StandAlone, WhatWasNotCommittedYetIsKeptToo) {
  Harness h(3);
  h.Campaign(1);
  h.Stabilize();
  h.Elapse(milliseconds(200));
  // It reaches 3, and nobody hears that it did.
  h.Cut(3, 1);
  h.Cut(1, 2);
  ASSERT_TRUE(h.Propose(1, "kept").ok());
  h.Stabilize();
  h.Stop(1);
  h.Stop(2);
  h.Elapse(kSilence);
  ASSERT_LT(h.core(3).commit_index(), h.core(3).log().last_index());
  ASSERT_TRUE(StandAlone(h, 3).ok());
  h.Stabilize();
  EXPECT_THAT(Applied(h, 3), ElementsAre("kept"));
}

TEST(StandAlone, IsRefusedWhileALeaderMayBeThere) {
  Harness h(3);
  h.Campaign(1);
  h.Stabilize();
  h.Elapse(milliseconds(200));
  EXPECT_THAT(Why(StandAlone(h, 1)), HasSubstr("leads its group"));
  EXPECT_THAT(Why(StandAlone(h, 3)), HasSubstr("waits for 3000 ms"));
  h.Stop(1);
  h.Stop(2);
  h.Elapse(milliseconds(2900));
  EXPECT_THAT(Why(StandAlone(h, 3)), HasSubstr("a leader may be there yet"));
  // Started again it remembers nobody, and waits as long.
  h.Restart(3);
  h.Elapse(milliseconds(2900));
  EXPECT_THAT(Why(StandAlone(h, 3)), HasSubstr("a leader may be there yet"));
  h.Elapse(milliseconds(200));
  EXPECT_TRUE(StandAlone(h, 3).ok());
}

// It led itself until just now, and others may go on without it.
TEST(StandAlone, IsRefusedToWhoLedUntilJustNow) {
  Harness h(3);
  h.Campaign(1);
  h.Stabilize();
  h.Elapse(milliseconds(5000));
  h.Isolate(1);
  while (h.core(1).IsLeader()) h.Elapse(milliseconds(20));
  EXPECT_THAT(Why(StandAlone(h, 1)), HasSubstr("a leader may be there yet"));
}

TEST(StandAlone, IsRefusedWhereAMajorityIsHeardOf) {
  Harness h(3);
  h.Campaign(1);
  h.Stabilize();
  h.Elapse(milliseconds(200));
  h.Stop(1);
  // 2 asks for votes, and never gets them.
  h.Cut(3, 2);
  h.Elapse(kSilence);
  ASSERT_FALSE(h.core(2).IsLeader());
  EXPECT_THAT(Why(StandAlone(h, 3)), HasSubstr("with replicas that were heard of (2)"));
  EXPECT_TRUE(h.core(3).configuration().expelled.empty());
  h.Stop(2);
  h.Elapse(kSilence);
  EXPECT_TRUE(StandAlone(h, 3).ok());
}

TEST(StandAlone, IsRefusedElsewhereThanThePlanSaid) {
  Harness h(3);
  LoseTwo(h);
  const Log& log = h.core(3).log();
  auto moved = h.core(3).StandAlone(h.now(), log.last_index() + 1, log.last_term());
  EXPECT_THAT(Why(moved.status()), HasSubstr("the log ends at index"));
  auto other = h.core(3).StandAlone(h.now(), log.last_index(), log.last_term() + 1);
  EXPECT_FALSE(other.ok());
  EXPECT_FALSE(h.core(3).IsLeader());
  EXPECT_TRUE(StandAlone(h, 3).ok());
}

TEST(StandAlone, IsRefusedWithoutAPlaceInTheGroup) {
  Harness h(3);
  h.AddNode(4);
  h.Elapse(kSilence);
  EXPECT_THAT(Why(StandAlone(h, 4)), HasSubstr("no member"));
}

// A change that would have made 4 a voter is under way, and may have been committed.
TEST(StandAlone, EndsAJointConfiguration) {
  Harness h(3);
  h.Campaign(1);
  h.Stabilize();
  h.AddNode(4);
  MembershipChange add;
  add.add_learners = {{ReplicaId(4), StoreId(4)}};
  ASSERT_TRUE(h.core(1).ChangeMembership(h.now(), add).ok());
  h.Elapse(milliseconds(300));
  h.Cut(3, 1);
  h.Isolate(2);
  h.Isolate(4);
  MembershipChange swap;
  swap.promote = {ReplicaId(4)};
  swap.remove = {ReplicaId(2)};
  ASSERT_TRUE(h.core(1).ChangeMembership(h.now(), swap).ok());
  h.Stabilize();
  ASSERT_TRUE(h.core(3).configuration().IsJoint());
  for (uint64_t id : {1, 2, 4}) h.Stop(id);
  h.Elapse(kSilence);
  ASSERT_TRUE(StandAlone(h, 3).ok());
  h.Stabilize();
  EXPECT_FALSE(h.core(3).configuration().IsJoint());
  EXPECT_THAT(h.core(3).configuration().expelled,
              ElementsAre(ReplicaId(1), ReplicaId(2), ReplicaId(4)));
  EXPECT_TRUE(h.core(3).KnowsCommitted());
}

// 2 is no member any more by an entry that reached 3 alone: it does not know, and may be asked.
TEST(StandAlone, PutsOutWhoALastEntryRemoves) {
  Harness h(3);
  h.Campaign(1);
  h.Stabilize();
  h.AddNode(4);
  MembershipChange add;
  add.add_learners = {{ReplicaId(4), StoreId(4)}};
  ASSERT_TRUE(h.core(1).ChangeMembership(h.now(), add).ok());
  h.Elapse(milliseconds(300));
  h.drop = [](const Message& m) {
    Configuration told;
    return m.to != ReplicaId(3) &&
           std::any_of(m.entries.begin(), m.entries.end(), [&](const EntryPtr& entry) {
             return entry->type == EntryType::kConfiguration &&
                    Configuration::Decode(entry->data, &told) && !told.IsJoint();
           });
  };
  MembershipChange swap;
  swap.promote = {ReplicaId(4)};
  swap.remove = {ReplicaId(2)};
  ASSERT_TRUE(h.core(1).ChangeMembership(h.now(), swap).ok());
  h.Stabilize();
  for (uint64_t id : {1, 2, 4}) h.Stop(id);
  ASSERT_FALSE(h.core(3).configuration().Contains(ReplicaId(2)));
  h.Elapse(kSilence);
  ASSERT_TRUE(StandAlone(h, 3).ok());
  EXPECT_THAT(h.core(3).configuration().expelled,
              ElementsAre(ReplicaId(1), ReplicaId(2), ReplicaId(4)));
}

TEST(StandAlone, IsRememberedOverRestarts) {
  Harness h(3);
  LoseTwo(h);
  ASSERT_TRUE(StandAlone(h, 3).ok());
  h.Stabilize();
  Term term = h.core(3).term();
  h.Restart(3);
  EXPECT_THAT(h.core(3).configuration().expelled, ElementsAre(ReplicaId(1), ReplicaId(2)));
  h.Elapse(milliseconds(2000));
  EXPECT_TRUE(h.core(3).IsLeader());
  EXPECT_GT(h.core(3).term(), term);
  GrowToThree(h);
  EXPECT_THAT(h.core(5).configuration().expelled, ElementsAre(ReplicaId(1), ReplicaId(2)));
}

// The entry never reached the disk: nothing has happened, and nobody was told anything.
TEST(StandAlone, ACrashBeforeItIsDurableLeavesNothing) {
  Harness h(3);
  LoseTwo(h);
  h.node(3).disk_stopped = true;
  Term before = h.core(3).term();
  size_t sent = h.messages_sent;
  ASSERT_TRUE(StandAlone(h, 3).ok());
  h.Stabilize();
  EXPECT_EQ(h.messages_sent, sent);
  h.node(3).unwritten.clear();
  h.node(3).disk_stopped = false;
  h.Restart(3);
  EXPECT_TRUE(h.core(3).configuration().expelled.empty());
  EXPECT_LT(h.core(3).term(), before + Core::kTermsSkipped);
}

// Each of those that were gone has a newer log by the old count, is a voter by its own, and reaches
// a member of the group as it is now.
TEST(StandAlone, WhoWasGoneIsToldAndLeadsNobody) {
  Harness h(3);
  LoseTwo(h);
  ASSERT_TRUE(StandAlone(h, 3).ok());
  h.Stabilize();
  GrowToThree(h);
  ASSERT_TRUE(h.Propose(3, "new").ok());
  h.Stabilize();
  // A follower is asked too, at a time when it has no leader and has promised nobody anything.
  ASSERT_TRUE(h.core(3).TransferLeadership(h.now(), ReplicaId(4)).ok());
  h.Elapse(milliseconds(500));
  ASSERT_TRUE(h.core(4).IsLeader());
  h.Isolate(4);
  h.Isolate(5);
  h.Elapse(milliseconds(2000));
  Term term = h.core(3).term();
  h.Cut(1, 2);
  h.Cut(2, 1);
  h.Restart(1);
  h.Restart(2);
  h.Elapse(milliseconds(3000));
  for (uint64_t id : {1, 2}) {
    EXPECT_TRUE(h.core(id).removed()) << id;
    EXPECT_FALSE(h.core(id).IsLeader()) << id;
  }
  // Nor did it believe them in anything.
  EXPECT_EQ(h.core(3).term(), term);
  EXPECT_FALSE(h.core(3).removed());
  h.Heal();
  ASSERT_NE(h.ElectLeader(), 0u);
  h.Elapse(milliseconds(500));
  for (uint64_t id : {3, 4, 5}) EXPECT_THAT(Applied(h, id), ElementsAre("both", "new")) << id;
}

// Appends of the old leader's that come late, or from one that never stopped.
TEST(StandAlone, AnOldLeaderWritesNothingHere) {
  Harness h(3);
  LoseTwo(h);
  ASSERT_TRUE(StandAlone(h, 3).ok());
  h.Stabilize();
  Index end = h.core(3).log().last_index();
  Message append;
  append.type = MessageType::kAppend;
  append.from = ReplicaId(1);
  append.to = ReplicaId(3);
  append.term = h.core(3).term() + 7;
  append.index = Index(1);
  append.log_term = Term(1);
  h.core(3).Step(h.now(), append);
  Output out = h.core(3).TakeOutput();
  EXPECT_TRUE(h.core(3).IsLeader());
  EXPECT_EQ(h.core(3).log().last_index(), end);
  ASSERT_EQ(out.messages_after_persist.size(), 1u);
  EXPECT_EQ(out.messages_after_persist[0].type, MessageType::kRemoved);
}

TEST(StandAlone, WhoIsPutOutIsNeverLetInAgain) {
  Harness h(3);
  LoseTwo(h);
  ASSERT_TRUE(StandAlone(h, 3).ok());
  h.Stabilize();
  MembershipChange again;
  again.add_learners = {{ReplicaId(1), StoreId(1)}};
  EXPECT_THAT(Why(h.core(3).ChangeMembership(h.now(), again).status()),
              HasSubstr("was put out for good"));
}

TEST(Expelled, AreWrittenOnlyWhereThereAreSome) {
  Configuration plain;
  plain.voters = {{ReplicaId(3), StoreId(3)}};
  Configuration alone = plain;
  alone.expelled = {ReplicaId(1), ReplicaId(2)};
  EXPECT_EQ(plain.Encode() + std::string("\2\1\2"), alone.Encode());
  Configuration read;
  ASSERT_TRUE(Configuration::Decode(alone.Encode(), &read));
  EXPECT_EQ(read, alone);
  ASSERT_TRUE(Configuration::Decode(plain.Encode(), &read));
  EXPECT_EQ(read, plain);
  // Out of order, twice, a member, or none at all.
  for (const char* bytes : {"\2\2\1", "\2\1\1", "\1\3"})
    EXPECT_FALSE(Configuration::Decode(plain.Encode() + bytes, &read)) << bytes;
  EXPECT_FALSE(Configuration::Decode(plain.Encode() + std::string("\0", 1), &read));
}

}  // namespace
}  // namespace kvd::raft
