// What becomes of a transfer of leadership whose messages come when the leader has its lease back.
#include <algorithm>

#include "gtest/gtest.h"
#include "tests/raft/core/harness.h"

namespace kvd::raft {
namespace {

class Transfer : public testing::Test {
 protected:
  Transfer() : h_(3) {
    h_.Campaign(1);
    h_.Stabilize();
    h_.Elapse(milliseconds(500));
    term_ = h_.core(1).term();
    EXPECT_TRUE(h_.core(1).TransferLeadership(h_.now(), ReplicaId(3)).ok());
    h_.Drain();
  }

  // Takes such a message out of the network.
  Message Take(MessageType type, uint64_t to) {
    auto& network = h_.network();
    auto it = std::find_if(network.begin(), network.end(), [&](const Message& m) {
      return m.type == type && m.to == ReplicaId(to);
    });
    EXPECT_NE(it, network.end());
    Message taken = *it;
    network.erase(it);
    return taken;
  }
  // The leader has given the transfer up, and trusts its lease again.
  void ExpectServing() {
    EXPECT_TRUE(h_.core(1).IsLeader());
    EXPECT_EQ(h_.core(1).term(), term_);
    EXPECT_TRUE(h_.core(1).HoldsLease(h_.now()));
  }

  Harness h_;
  Term term_;
};

TEST_F(Transfer, TimeoutNowOfLongAgoIsNotObeyed) {
  Message late = Take(MessageType::kTimeoutNow, 3);
  h_.Elapse(milliseconds(3000));
  ExpectServing();
  h_.network().push_back(late);
  h_.Stabilize();
  ExpectServing();
}

// The candidate was away meanwhile, and has not noticed yet for how long.
TEST_F(Transfer, AVoteOfLongAgoDoesNotCount) {
  h_.core(3).Step(h_.now(), Take(MessageType::kTimeoutNow, 3));
  h_.Drain();
  Message request = Take(MessageType::kVote, 2);
  (void)Take(MessageType::kVote, 1);
  auto candidate = std::move(h_.node(3).core);
  h_.Elapse(milliseconds(3000));
  ExpectServing();
  h_.core(2).Step(h_.now(), request);
  h_.Drain();
  Message vote = Take(MessageType::kVoteReply, 3);
  ASSERT_FALSE(vote.reject);
  h_.node(3).core = std::move(candidate);
  h_.core(3).Step(h_.now(), vote);
  EXPECT_FALSE(h_.core(3).IsLeader());
  ExpectServing();
}

}  // namespace
}  // namespace kvd::raft
