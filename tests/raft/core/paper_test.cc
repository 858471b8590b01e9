// The thesis, section by section, on the pure core.
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/raft/core/harness.h"

namespace kvd::raft {
namespace {

Message From(uint64_t from, uint64_t to, MessageType type, uint64_t term) {
  Message m;
  m.type = type;
  m.from = ReplicaId(from);
  m.to = ReplicaId(to);
  m.term = Term(term);
  return m;
}

EntryPtr MakeEntry(uint64_t index, uint64_t term) {
  auto entry = std::make_shared<Entry>();
  entry->index = Index(index);
  entry->term = Term(term);
  entry->type = EntryType::kCommand;
  return entry;
}

// Gives replica `id` a log of these terms and restarts it.
void SetLog(Harness& h, uint64_t id, std::vector<uint64_t> terms) {
  Output output;
  for (size_t i = 0; i < terms.size(); ++i) output.entries.push_back(MakeEntry(i + 1, terms[i]));
  output.hard_state = HardState{Term(terms.back()), ReplicaId(), Index()};
  h.node(id).disk->Write(output);
  h.Restart(id);
}

// 3.3: "If a candidate or leader discovers that its term is out of date, it immediately reverts to
// follower state."
TEST(Terms, HigherTermTurnsALeaderIntoAFollower) {
  Harness h(3);
  h.Campaign(1);
  h.Stabilize();
  ASSERT_TRUE(h.core(1).IsLeader());
  h.core(1).Step(h.now(), From(2, 1, MessageType::kAppend, 5));
  EXPECT_EQ(h.core(1).role(), Role::kFollower);
  EXPECT_EQ(h.core(1).term(), Term(5));
  EXPECT_EQ(h.core(1).leader(), ReplicaId(2));
}

// 3.3: "If a server receives a request with a stale term number, it rejects the request."
TEST(Terms, StaleAppendIsRejectedWithTheNewTerm) {
  Harness h(3);
  h.Campaign(1);
  h.Stabilize();
  Message stale = From(3, 2, MessageType::kAppend, 0);
  h.core(2).Step(h.now(), stale);
  Output out = h.core(2).TakeOutput();
  ASSERT_EQ(out.messages_after_persist.size(), 1u);
  EXPECT_TRUE(out.messages_after_persist[0].reject);
  EXPECT_EQ(out.messages_after_persist[0].term, Term(1));
}

// 3.4: "votes for at most one candidate in a given term, first come first served", and the vote is
// on disk before the answer leaves.
TEST(Elections, OneVoteATermPersistedBeforeItIsGiven) {
  Harness h(3);
  h.core(1).Step(h.now(), From(2, 1, MessageType::kVote, 1));
  Output first = h.core(1).TakeOutput();
  ASSERT_TRUE(first.hard_state.has_value());
  EXPECT_EQ(first.hard_state->vote, ReplicaId(2));
  EXPECT_TRUE(first.messages.empty());
  ASSERT_EQ(first.messages_after_persist.size(), 1u);
  EXPECT_FALSE(first.messages_after_persist[0].reject);
  h.core(1).Step(h.now(), From(3, 1, MessageType::kVote, 1));
  Output second = h.core(1).TakeOutput();
  ASSERT_EQ(second.messages_after_persist.size(), 1u);
  EXPECT_TRUE(second.messages_after_persist[0].reject);
  // The same candidate asks again, its answer having been lost.
  h.core(1).Step(h.now(), From(2, 1, MessageType::kVote, 1));
  EXPECT_FALSE(h.core(1).TakeOutput().messages_after_persist[0].reject);
}

TEST(Elections, AVoteIsRememberedOverARestart) {
  Harness h(3);
  h.core(1).Step(h.now(), From(2, 1, MessageType::kVote, 1));
  h.Drain();
  h.Restart(1);
  h.ElapseOnly(1, milliseconds(599));
  Message other = From(3, 1, MessageType::kVote, 1);
  other.transfer = true;  // not held back by the time since the restart
  h.core(1).Step(h.now(), other);
  Output out = h.core(1).TakeOutput();
  ASSERT_EQ(out.messages_after_persist.size(), 1u);
  EXPECT_TRUE(out.messages_after_persist[0].reject);
}

// 3.4: randomised timeouts: over many seeds no two replicas always fire together.
TEST(Elections, TimeoutsDiffer) {
  int leaders[4] = {};
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    Harness h(3, {}, seed);
    ++leaders[h.ElectLeader()];
  }
  EXPECT_EQ(leaders[0], 0);
  for (int i = 1; i <= 3; ++i) EXPECT_GT(leaders[i], 5);
}

// 3.5: "the leader retries AppendEntries RPCs indefinitely".
TEST(Replication, ALostAppendIsSentAgain) {
  Harness h(3);
  h.Campaign(1);
  h.Stabilize();
  h.drop = [](const Message& m) { return m.type == MessageType::kAppend && m.to == ReplicaId(3); };
  ASSERT_TRUE(h.Propose(1, "a").ok());
  h.Stabilize();
  EXPECT_LT(h.core(3).log().last_index(), h.core(1).log().last_index());
  h.Heal();
  h.Elapse(milliseconds(300));
  EXPECT_EQ(h.core(3).log().last_index(), h.core(1).log().last_index());
  EXPECT_EQ(h.node(3).applied.size(), 1u);
}

// 3.5 and 10.2.1: many proposals of one turn share a message, and the next ones do not wait.
TEST(Replication, IsBatchedAndPipelined) {
  Harness h(3);
  h.Campaign(1);
  h.Stabilize();
  h.Elapse(milliseconds(40));
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(h.core(1).Propose(h.now(), "x").ok());
  Output first = h.core(1).TakeOutput();
  EXPECT_EQ(first.messages.size(), 2u);
  EXPECT_EQ(first.messages[0].entries.size(), 10u);
  ASSERT_TRUE(h.core(1).Propose(h.now(), "y").ok());
  Output second = h.core(1).TakeOutput();
  EXPECT_EQ(second.messages.size(), 2u);
  EXPECT_EQ(second.messages[0].index, Index(11));
}

TEST(Replication, TheWindowIsBoundedInBytes) {
  CoreOptions options;
  options.inflight_bytes_max = 1000;
  options.append_bytes_max = 400;
  Harness h(3, options);
  h.Campaign(1);
  h.Stabilize();
  size_t sent = 0;
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(h.core(1).Propose(h.now(), std::string(200, 'x')).ok());
    Output out = h.core(1).TakeOutput();
    h.node(1).disk->Write(out);
    for (const Message& m : out.messages) {
      if (m.to == ReplicaId(2)) sent += m.entries.size();
    }
  }
  EXPECT_LE(sent, 8u);
  EXPECT_GE(sent, 4u);
}

// 3.6.1: the election restriction: only an up-to-date log wins.
TEST(Safety, AShorterLogOfTheSameTermLoses) {
  Harness h(3);
  SetLog(h, 1, {1, 1, 2});
  SetLog(h, 2, {1, 1, 2, 2});
  SetLog(h, 3, {1, 1, 2, 2});
  h.Elapse(milliseconds(5000));
  EXPECT_FALSE(h.core(1).IsLeader());
  EXPECT_TRUE(h.core(2).IsLeader() || h.core(3).IsLeader());
}

TEST(Safety, ALongerLogOfAnEarlierTermLoses) {
  Harness h(3);
  SetLog(h, 1, {1, 1, 1, 1, 1});
  SetLog(h, 2, {1, 3});
  SetLog(h, 3, {1, 3});
  h.Elapse(milliseconds(5000));
  EXPECT_FALSE(h.core(1).IsLeader());
  EXPECT_EQ(h.core(1).log().TermAt(Index(2)), Term(3));
}

// 3.6.2, figure 3.7: an entry of an earlier term is not committed by counting replicas.
TEST(Safety, EarlierTermsCommitOnlyWithTheOwnOne) {
  Harness h(3);
  SetLog(h, 1, {1, 2});
  h.Elapse(milliseconds(600));
  h.network().clear();
  h.Campaign(1);
  h.drop = [](const Message& m) { return m.type == MessageType::kAppend; };
  h.Stabilize();
  ASSERT_TRUE(h.core(1).IsLeader());
  Term term = h.core(1).term();
  // Both followers hold entry 2 of term 2, neither the leader's own entry 3.
  for (uint64_t peer : {2, 3}) {
    Message ack = From(peer, 1, MessageType::kAppendReply, term.value());
    ack.index = Index(2);
    h.core(1).Step(h.now(), ack);
  }
  EXPECT_EQ(h.core(1).commit_index(), Index());
  Message ack = From(2, 1, MessageType::kAppendReply, term.value());
  ack.index = Index(3);
  h.core(1).Step(h.now(), ack);
  EXPECT_EQ(h.core(1).commit_index(), Index(3));
}

// An empty append is acknowledged only up to where the logs are known to match.
TEST(Safety, AnEmptyAppendAcknowledgesNoMoreThanItsPosition) {
  Harness h(3);
  SetLog(h, 2, {1, 1, 1});
  Message append = From(1, 2, MessageType::kAppend, 2);
  append.index = Index(1);
  append.log_term = Term(1);
  h.core(2).Step(h.now(), append);
  Output out = h.core(2).TakeOutput();
  ASSERT_EQ(out.messages_after_persist.size(), 1u);
  EXPECT_EQ(out.messages_after_persist[0].index, Index(1));
}

// 3.8: nothing is acknowledged before it is on disk.
TEST(Persistence, AnAppendIsAcknowledgedOnlyFromDisk) {
  Harness h(3);
  h.Campaign(1);
  h.Stabilize();
  h.node(2).disk_stopped = true;
  h.node(3).disk_stopped = true;
  ASSERT_TRUE(h.Propose(1, "a").ok());
  h.Stabilize();
  EXPECT_EQ(h.core(1).commit_index(), Index(1));
  h.node(2).disk_stopped = false;
  h.Elapse(milliseconds(200));
  EXPECT_EQ(h.core(1).commit_index(), Index(2));
}

// 10.2.1: the leader sends before its own disk is done, and may commit by its followers' disks; it
// applies only what it holds itself.
TEST(Persistence, TheLeadersDiskWorksInParallel) {
  Harness h(3);
  h.Campaign(1);
  h.Stabilize();
  h.Elapse(milliseconds(40));
  h.node(1).disk_stopped = true;
  ASSERT_TRUE(h.Propose(1, "a").ok());
  h.Stabilize();
  EXPECT_EQ(h.core(1).commit_index(), Index(2));
  EXPECT_TRUE(h.node(1).applied.empty());
  h.node(1).disk_stopped = false;
  h.Elapse(milliseconds(20));
  EXPECT_EQ(h.node(1).applied.size(), 1u);
}

// 4.2.3 with 9.6: a replica that was cut off neither raises the term nor disturbs when it returns.
TEST(PreVote, AReturningReplicaDoesNotDisturb) {
  Harness h(5);
  uint64_t leader = h.ElectLeader();
  uint64_t other = leader % 5 + 1;
  h.Isolate(other);
  h.Elapse(milliseconds(10000));
  Term term = h.core(leader).term();
  h.Heal();
  h.Elapse(milliseconds(2000));
  EXPECT_TRUE(h.core(leader).IsLeader());
  EXPECT_EQ(h.core(leader).term(), term);
}

// 6.4.1: a leader that was paused does not trust its lease.
TEST(Lease, EndsWithoutAnsweredRounds) {
  Harness h(3);
  h.Campaign(1);
  h.Stabilize();
  h.Elapse(milliseconds(300));
  EXPECT_TRUE(h.core(1).HoldsLease(h.now()));
  EXPECT_TRUE(h.core(1).HoldsLease(h.now() + milliseconds(400)));
  EXPECT_FALSE(h.core(1).HoldsLease(h.now() + milliseconds(541)));
}

// It counts from the sending of a round: an old answer extends nothing.
// A vote for itself is a vote like any other: the promise to the leader binds it.
TEST(Lease, AFollowerThatIsToldToCampaignKeepsItsPromise) {
  Harness h(3);
  uint64_t leader = h.ElectLeader();
  uint64_t follower = leader % 3 + 1;
  Term term = h.core(leader).term();
  h.Campaign(follower);
  h.Stabilize();
  EXPECT_EQ(h.core(follower).role(), Role::kFollower);
  EXPECT_EQ(h.core(leader).term(), term);
  EXPECT_TRUE(h.core(leader).HoldsLease(h.now()));
}

TEST(Lease, CountsFromTheSending) {
  Harness h(3);
  h.Campaign(1);
  h.Stabilize();
  h.Elapse(milliseconds(300));
  std::vector<Message> replies;
  h.drop = [&](const Message& m) {
    if (m.type != MessageType::kHeartbeatReply) return false;
    replies.push_back(m);
    return true;
  };
  h.Elapse(milliseconds(100));
  ASSERT_FALSE(replies.empty());
  h.Elapse(milliseconds(460));
  EXPECT_FALSE(h.core(1).HoldsLease(h.now() + milliseconds(30)));
  for (const Message& m : replies) h.core(1).Step(h.now(), m);
  EXPECT_TRUE(h.core(1).HoldsLease(h.now()));
  // The oldest of them was sent when the silence began.
  EXPECT_FALSE(h.core(1).HoldsLease(h.now() + milliseconds(540)));
}

// 6.4: a new leader confirms no read before it has committed an entry of its own term.
TEST(ReadIndex, WaitsForTheTermsFirstCommit) {
  Harness h(3);
  h.Campaign(1);
  h.drop = [](const Message& m) { return m.type == MessageType::kAppend; };
  h.Stabilize();
  ASSERT_TRUE(h.core(1).IsLeader());
  ASSERT_TRUE(h.core(1).ReadIndex(h.now(), 1).ok());
  h.Stabilize();
  EXPECT_TRUE(h.node(1).reads.empty());
  h.Heal();
  h.Elapse(milliseconds(300));
  ASSERT_EQ(h.node(1).reads.size(), 1u);
  EXPECT_EQ(h.node(1).reads[0].index, Index(1));
}

// 4.1: a configuration holds from its append on, and is given up when its entry is.
TEST(Membership, AConfigurationFallsBackWithItsEntry) {
  Harness h(3);
  h.Campaign(1);
  h.Stabilize();
  h.Isolate(1);
  MembershipChange change;
  change.remove = {ReplicaId(3)};
  ASSERT_TRUE(h.core(1).ChangeMembership(h.now(), change).ok());
  h.Drain();
  EXPECT_TRUE(h.core(1).configuration().IsJoint());
  h.Elapse(milliseconds(3000));
  h.Heal();
  h.Elapse(milliseconds(3000));
  EXPECT_FALSE(h.core(1).configuration().IsJoint());
  EXPECT_TRUE(h.core(1).configuration().IsVoter(ReplicaId(3)));
}

// 4.3: in the joint configuration both majorities are needed.
TEST(Membership, AJointConfigurationNeedsBothMajorities) {
  Harness h(3);
  h.Campaign(1);
  h.Stabilize();
  for (uint64_t id : {4, 5}) h.AddNode(id);
  MembershipChange add;
  add.add_learners = {{ReplicaId(4), StoreId(4)}, {ReplicaId(5), StoreId(5)}};
  ASSERT_TRUE(h.core(1).ChangeMembership(h.now(), add).ok());
  h.Elapse(milliseconds(200));
  // Of the new majority {1, 4, 5} the two new ones are cut off: nothing commits.
  h.Isolate(4);
  h.Isolate(5);
  MembershipChange swap;
  swap.promote = {ReplicaId(4), ReplicaId(5)};
  swap.remove = {ReplicaId(2), ReplicaId(3)};
  Index before = h.core(1).commit_index();
  ASSERT_TRUE(h.core(1).ChangeMembership(h.now(), swap).ok());
  h.Elapse(milliseconds(300));
  EXPECT_EQ(h.core(1).commit_index(), before);
  h.Heal();
  h.Elapse(milliseconds(3000));
  uint64_t leader = h.ElectLeader();
  ASSERT_NE(leader, 0u);
  EXPECT_FALSE(h.core(leader).configuration().IsJoint());
}

// Thesis 4.2.2: a leader that removed itself alone holds the entry that says so. Without a vote of
// one more the others can't win the joint majority, and it refuses them: its log is longer.
TEST(Membership, ALeaverLeadsWhereOnlyItHoldsItsRemoval) {
  Harness h(4);
  uint64_t leaver = h.ElectLeader();
  uint64_t down = leaver % 4 + 1;
  h.drop = [&](const Message& m) {
    for (const EntryPtr& entry : m.entries) {
      Configuration configuration;
      if (entry->type == EntryType::kConfiguration &&
          Configuration::Decode(entry->data, &configuration) && !configuration.IsJoint()) {
        return true;
      }
    }
    return false;
  };
  MembershipChange change;
  change.remove.push_back(ReplicaId(leaver));
  ASSERT_TRUE(h.core(leaver).ChangeMembership(h.now(), change).ok());
  h.Elapse(milliseconds(200));
  ASSERT_FALSE(h.core(leaver).configuration().Contains(ReplicaId(leaver)));
  h.Restart(leaver);
  h.Stop(down);
  h.drop = nullptr;
  bool done = false;
  for (int i = 0; i < 500 && !done; ++i) {
    h.Elapse(milliseconds(20));
    for (uint64_t id = 1; id <= 4; ++id) {
      done = done ||
             (id != down && id != leaver && h.core(id).IsLeader() && h.core(id).KnowsCommitted() &&
              !h.core(id).configuration().Contains(ReplicaId(leaver)));
    }
  }
  EXPECT_TRUE(done);
}

// A leader that was cut off holds a change that makes 4 a voter; the next one's entry reached 4
// alone, and is away. The first needs the vote of 4, which has the newer log, and 4 is no voter by
// its own.
TEST(Membership, ALearnerWithTheNewestLogLeadsWhereNobodyElseCan) {
  Harness h(3);
  h.Campaign(1);
  h.Stabilize();
  h.AddNode(4);
  MembershipChange add;
  add.add_learners = {{ReplicaId(4), StoreId(4)}};
  ASSERT_TRUE(h.core(1).ChangeMembership(h.now(), add).ok());
  h.Elapse(milliseconds(200));
  h.Isolate(1);
  MembershipChange promote;
  promote.promote = {ReplicaId(4)};
  ASSERT_TRUE(h.core(1).ChangeMembership(h.now(), promote).ok());
  h.drop = [](const Message& m) { return m.type == MessageType::kAppend && m.to != ReplicaId(4); };
  while (!h.core(2).IsLeader()) {
    ASSERT_LT(h.core(2).term(), Term(100));
    h.Elapse(milliseconds(1300));
    h.Campaign(2);
    h.Stabilize();
  }
  ASSERT_EQ(h.core(4).log().last_term(), h.core(2).term());
  h.Heal();
  h.Isolate(2);
  EXPECT_NE(h.ElectLeader(), 0u);
}

TEST(Membership, ALearnerNeitherVotesNorCounts) {
  Harness h(1);
  h.Campaign(1);
  h.Stabilize();
  h.AddNode(2);
  MembershipChange add;
  add.add_learners = {{ReplicaId(2), StoreId(2)}};
  ASSERT_TRUE(h.core(1).ChangeMembership(h.now(), add).ok());
  h.Elapse(milliseconds(200));
  EXPECT_EQ(h.core(2).log().last_index(), h.core(1).log().last_index());
  h.Isolate(2);
  ASSERT_TRUE(h.Propose(1, "a").ok());
  h.Stabilize();
  EXPECT_EQ(h.core(1).commit_index(), h.core(1).log().last_index());
  h.Elapse(milliseconds(5000));
  EXPECT_EQ(h.core(2).role(), Role::kFollower);
}

// 5.3: a snapshot whose last entry the follower already holds drops nothing behind it.
TEST(Snapshot, KeepsALogThatHoldsItAlready) {
  Harness h(3);
  SetLog(h, 2, {1, 1, 1, 1});
  Message append = From(1, 2, MessageType::kHeartbeat, 1);
  h.core(2).Step(h.now(), append);
  SnapshotMeta meta{Index(2), Term(1), h.core(2).configuration()};
  EXPECT_FALSE(h.core(2).WantsSnapshot(meta, Term(1)));
  EXPECT_EQ(h.core(2).commit_index(), Index(2));
  EXPECT_EQ(h.core(2).log().last_index(), Index(4));
  SnapshotMeta other{Index(3), Term(2), h.core(2).configuration()};
  EXPECT_TRUE(h.core(2).WantsSnapshot(other, Term(2)));
}

// A proposal is bound to the term in which it was accepted, and limited.
TEST(Proposals, AreLimited) {
  CoreOptions options;
  options.uncommitted_bytes_max = 1000;
  options.proposal_bytes_max = 500;
  Harness h(3, options);
  EXPECT_EQ(h.core(1).Propose(h.now(), "a").status().code(), absl::StatusCode::kUnavailable);
  h.Campaign(1);
  h.Stabilize();
  EXPECT_EQ(h.core(1).Propose(h.now(), std::string(501, 'x')).status().code(),
            absl::StatusCode::kInvalidArgument);
  h.Isolate(1);
  while (h.core(1).uncommitted_bytes() < 1000) {
    ASSERT_TRUE(h.Propose(1, std::string(400, 'x')).ok());
  }
  EXPECT_EQ(h.Propose(1, "x").status().code(), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace kvd::raft
