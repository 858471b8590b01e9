// What is taken for silence, and what is not: a busy disk, and messages that wait while the own
// replica was away.
#include "gtest/gtest.h"
#include "tests/raft/core/harness.h"

namespace kvd::raft {
namespace {

class Silence : public testing::Test {
 protected:
  Silence() : h_(3) {
    h_.Campaign(1);
    h_.Stabilize();
    h_.Elapse(milliseconds(500));
    term_ = h_.core(1).term();
  }

  bool Leads() { return h_.core(1).IsLeader() && h_.core(1).term() == term_; }

  Harness h_;
  Term term_;
};

TEST_F(Silence, FollowersWithBusyDisksAreHeard) {
  h_.node(2).disk_stopped = h_.node(3).disk_stopped = true;
  ASSERT_TRUE(h_.Propose(1, "a").ok());
  h_.Elapse(milliseconds(3000));
  EXPECT_TRUE(Leads());
  EXPECT_TRUE(h_.core(1).HoldsLease(h_.now()));
  EXPECT_TRUE(h_.node(1).applied.empty()) << "committed by nobody's disk";
  h_.node(2).disk_stopped = false;
  h_.Elapse(milliseconds(300));
  EXPECT_TRUE(Leads());
  EXPECT_EQ(h_.node(1).applied.size(), 1u);
}

TEST_F(Silence, AnIdleLeaderBeatsMoreSlowlyAndIsNotMissed) {
  h_.Elapse(milliseconds(2000));
  h_.trace.clear();
  uint64_t sent = h_.messages_sent;
  h_.Elapse(milliseconds(2000));
  EXPECT_EQ(h_.messages_sent - sent, 2u * 2 * 10) << "a beat to each follower, and its answer";
  EXPECT_TRUE(h_.core(1).HoldsLease(h_.now()));
  h_.core(1).NoteUse(h_.now());
  sent = h_.messages_sent;
  h_.Elapse(milliseconds(900));
  EXPECT_EQ(h_.messages_sent - sent, 2u * 2 * 9);
  EXPECT_TRUE(Leads());
}

// Until another one leads, in all of many clusters.
Duration TimeWithoutALeader(bool used) {
  Duration all{};
  for (uint64_t seed = 1; seed <= 400; ++seed) {
    Harness h(3, CoreOptions(), seed);
    h.Campaign(1);
    h.Stabilize();
    // It falls silent at any time between two beats.
    for (uint64_t i = 0; i < 150 + seed % 10; ++i) {
      if (used) h.core(1).NoteUse(h.now());
      h.Elapse(milliseconds(20));
    }
    h.Isolate(1);
    MonotonicTime from = h.now();
    while (!h.core(2).IsLeader() && !h.core(3).IsLeader()) h.Elapse(milliseconds(20));
    all += h.now() - from;
  }
  return all;
}

TEST_F(Silence, AnIdleLeaderIsReplacedAsSoonAsABusyOne) {
  EXPECT_LE(TimeWithoutALeader(/*used=*/false),
            TimeWithoutALeader(/*used=*/true) + 400 * milliseconds(20));
}

TEST_F(Silence, ALeaderIsNotIdleWhileAFollowerLagsBehind) {
  h_.Isolate(3);
  ASSERT_TRUE(h_.Propose(1, "a").ok());
  h_.Elapse(milliseconds(3000));
  uint64_t sent = h_.messages_sent;
  h_.Elapse(milliseconds(1000));
  EXPECT_GE(h_.messages_sent - sent, 10u * 3) << "two beats and an answer";
}

// All messages of the time away lie behind the tick.
TEST_F(Silence, ALeaderThatWasAwayReadsFirst) {
  h_.ElapseOnly(1, milliseconds(2000));
  EXPECT_TRUE(Leads());
  EXPECT_FALSE(h_.core(1).HoldsLease(h_.now()));
  h_.Stabilize();
  h_.Elapse(milliseconds(1000));
  EXPECT_TRUE(Leads());
}

TEST_F(Silence, AFollowerThatWasAwayReadsFirst) {
  h_.ElapseOnly(2, milliseconds(2000));
  EXPECT_EQ(h_.core(2).role(), Role::kFollower);
  h_.Elapse(milliseconds(1000));
  EXPECT_EQ(h_.core(2).role(), Role::kFollower);
  EXPECT_TRUE(Leads());
}

TEST_F(Silence, ItDoesNotReadForLong) {
  h_.Isolate(1);
  h_.ElapseOnly(1, milliseconds(2000));
  EXPECT_TRUE(Leads());
  for (int i = 0; i < 5; ++i) h_.ElapseOnly(1, milliseconds(20));
  EXPECT_FALSE(Leads());
}

TEST_F(Silence, WhoIsAlwaysLateJudgesTheSecondTime) {
  for (int late : {500, 700, 2000}) {
    Harness h(3);
    h.Campaign(1);
    h.Stabilize();
    h.Isolate(1);
    for (int i = 0; i < 3; ++i) h.ElapseOnly(1, milliseconds(late));
    EXPECT_FALSE(h.core(1).IsLeader()) << late;
  }
}

// It has no more to keep in memory than a window; what the others commit goes on.
TEST_F(Silence, AFollowerWhoseDiskHangsIsSentNoMoreThanAWindow) {
  CoreOptions options;
  options.inflight_bytes_max = 100'000;
  options.append_bytes_max = 10'000;
  Harness h(3, options);
  h.Campaign(1);
  h.Stabilize();
  h.node(3).disk_stopped = true;
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(h.Propose(1, std::string(10'000, 'x')).ok());
    h.Elapse(milliseconds(20));
  }
  EXPECT_EQ(h.node(1).applied.size(), 200u);
  EXPECT_LT((h.core(3).log().last_index() - Index()), 30u);
  h.node(3).disk_stopped = false;
  h.Elapse(milliseconds(1000));
  EXPECT_EQ(h.core(3).log().last_index(), h.core(1).log().last_index());
}

}  // namespace
}  // namespace kvd::raft
