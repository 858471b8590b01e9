// How much a leader sends to a follower that is behind, over a network that loses, doubles and
// reorders what it carries (thesis, 3.5 and 10.2.1).
#include <algorithm>

#include "gtest/gtest.h"
#include "proto/check.h"
#include "raft/runtime/random.h"
#include "tests/raft/core/harness.h"

namespace kvd::raft {
namespace {

CoreOptions OneEntryAMessage() {
  CoreOptions options;
  options.append_bytes_max = 1;
  options.inflight_messages_max = 20;
  return options;
}

// Leader 1 of three, and what it sends to replica 2, whose answers are written by hand. That one is
// known to hold all up to match(); the entries behind have been sent and are on their way.
class Flow : public testing::Test {
 protected:
  static constexpr uint64_t kEntries = 10;

  Flow() : h_(3, OneEntryAMessage()) {
    h_.Campaign(1);
    h_.Stabilize();
    h_.Isolate(2);
    match_ = progress().match();
    for (uint64_t i = 0; i < kEntries; ++i) KVD_CHECK(h_.Propose(1, "x").ok());
    KVD_CHECK(TakeAppends().size() == kEntries);
    window_sent_at_ = h_.now();
    Pass();
  }

  const Progress& progress() { return h_.core(1).progress().at(ReplicaId(2)); }
  Index match() const { return match_; }

  void Pass() { h_.ElapseOnly(1, std::chrono::microseconds(100)); }

  // Ends what is on its way, and returns the appends to replica 2 among it.
  std::vector<Message> TakeAppends() {
    std::vector<Message> appends;
    for (const Message& m : h_.network()) {
      if (m.to == ReplicaId(2) && m.type == MessageType::kAppend) appends.push_back(m);
    }
    h_.network().clear();
    return appends;
  }

  Message Reply(MessageType type, MonotonicTime sent_at) {
    Message m;
    m.type = type;
    m.from = ReplicaId(2);
    m.to = ReplicaId(1);
    m.term = h_.core(1).term();
    m.sent_at = sent_at;
    return m;
  }

  // Replica 2's answer to an append sent at `sent_at`: the appends that it brings about.
  std::vector<Message> Hold(Index index, MonotonicTime sent_at) {
    Message m = Reply(MessageType::kAppendReply, sent_at);
    m.index = index;
    return Answer(m);
  }
  std::vector<Message> Refuse(Index index, MonotonicTime sent_at) {
    Message m = Reply(MessageType::kAppendReply, sent_at);
    m.reject = true;
    m.index = index;
    m.hint_index = match_;
    m.hint_term = h_.core(1).term();
    return Answer(m);
  }
  std::vector<Message> Answer(const Message& m) {
    h_.core(1).Step(h_.now(), m);
    h_.Drain();
    return TakeAppends();
  }

  Harness h_;
  Index match_;
  MonotonicTime window_sent_at_;
};

// The window's first append is lost: every other one is refused.
TEST_F(Flow, OneProbeForAWindowOfRejections) {
  EXPECT_EQ(Refuse(match() + 1, window_sent_at_).size(), 1u);
  for (uint64_t i = 1; i < kEntries; ++i) {
    EXPECT_TRUE(Refuse(match() + i, window_sent_at_).empty()) << i;
    EXPECT_TRUE(Refuse(match() + i, window_sent_at_).empty()) << i << ", doubled";
  }
  EXPECT_EQ(progress().state(), Progress::State::kProbe);
}

// Only the probe's own answer ends probing; others tell what is held, late as they are.
TEST_F(Flow, AnAnswerToAnEarlierAppendEndsNoProbing) {
  ASSERT_EQ(Refuse(match() + 5, window_sent_at_).size(), 1u);
  auto probe_sent_at = h_.now();
  Pass();
  EXPECT_TRUE(Hold(match(), window_sent_at_).empty());
  EXPECT_TRUE(Hold(match() + 3, window_sent_at_).empty());
  EXPECT_EQ(progress().state(), Progress::State::kProbe);
  EXPECT_EQ(progress().match(), match() + 3);
  EXPECT_EQ(Hold(match() + 1, probe_sent_at).size(), kEntries - 3);
  EXPECT_EQ(progress().state(), Progress::State::kReplicate);
}

// Answers to the first window, after it has been sent anew.
TEST_F(Flow, AnAnswerToAnEarlierAppendStopsNoSendingAhead) {
  ASSERT_EQ(Refuse(match() + 1, window_sent_at_).size(), 1u);
  auto probe_sent_at = h_.now();
  Pass();
  ASSERT_EQ(Hold(match() + 1, probe_sent_at).size(), kEntries - 1);
  auto resent_at = h_.now();
  Pass();
  for (uint64_t i = 1; i < kEntries; ++i) {
    EXPECT_TRUE(Refuse(match() + i, window_sent_at_).empty()) << i;
    EXPECT_TRUE(Hold(match() + 1, probe_sent_at).empty()) << i;
  }
  EXPECT_EQ(progress().state(), Progress::State::kReplicate);
  // What was sent anew may be lost as well.
  EXPECT_EQ(Refuse(match() + 3, resent_at).size(), 1u);
  EXPECT_EQ(progress().state(), Progress::State::kProbe);
}

// Neither a probe nor a window that is lost as a whole is waited for for ever.
TEST_F(Flow, AHeartbeatsAnswerHasALostAppendRepeated) {
  auto appends = Answer(Reply(MessageType::kHeartbeatReply, h_.now()));
  ASSERT_EQ(appends.size(), 1u);
  ASSERT_EQ(Refuse(appends[0].index, h_.now()).size(), 1u);
  for (int i = 0; i < 3; ++i) {
    Pass();
    EXPECT_EQ(Answer(Reply(MessageType::kHeartbeatReply, h_.now())).size(), 1u);
  }
  EXPECT_EQ(Hold(match() + 1, h_.now()).size(), kEntries - 1);
}

// All behind a lost append were sent in vain, so fewer are sent at once until they arrive again.
TEST_F(Flow, ALossHalvesTheWindow) {
  MonotonicTime sent_at = window_sent_at_;
  for (size_t window : {10, 5}) {
    Index held = progress().match();
    ASSERT_EQ(Refuse(held + 1, sent_at).size(), 1u);
    MonotonicTime probe_sent_at = h_.now();
    Pass();
    EXPECT_EQ(Hold(held + 1, probe_sent_at).size(), std::min(window, kEntries - 1));
    sent_at = h_.now();
    Pass();
  }
  EXPECT_EQ(Hold(progress().match() + 1, sent_at).size(), 2u);
}

// A follower far behind gets what it lacks, and not many times over.
TEST(Reordering, AppendsDoNotMultiply) {
  constexpr uint64_t kEntries = 100;
  CoreOptions options = OneEntryAMessage();
  options.inflight_messages_max = 256;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Harness h(3, options, seed);
    Random random(seed);
    h.Campaign(1);
    h.Stabilize();
    h.Isolate(2);
    for (uint64_t i = 0; i < kEntries; ++i) ASSERT_TRUE(h.Propose(1, "x").ok());
    h.Stabilize();
    h.Heal();
    uint64_t appends = 0;
    auto& network = h.network();
    while (h.core(2).log().last_index() < h.core(1).log().last_index()) {
      h.ElapseOnly(1, std::chrono::microseconds(50));
      if (network.empty()) continue;
      // Any of them may be the next, and one in five comes twice.
      std::swap(network.front(), network[random.Below(network.size())]);
      if (random.Chance(0.2)) network.push_back(network.front());
      const Message& next = network.front();
      if (next.to == ReplicaId(2) && next.type == MessageType::kAppend) ++appends;
      ASSERT_TRUE(h.DeliverNext());
      h.trace.clear();
      ASSERT_LT(appends, 10 * kEntries) << "seed " << seed;
    }
  }
}

}  // namespace
}  // namespace kvd::raft
