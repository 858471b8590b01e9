// The scenarios of MIT 6.824's Raft lab, by name, on the pure core under virtual time.
#include "gtest/gtest.h"
#include "tests/raft/core/harness.h"

namespace kvd::raft {
namespace {

// Proposes at the leader and waits until `replicas` have applied it.
bool Agree(Harness& h, const std::string& command, int replicas) {
  for (int attempt = 0; attempt < 50; ++attempt) {
    uint64_t leader = h.ElectLeader();
    if (leader == 0) return false;
    auto index = h.Propose(leader, command);
    if (!index.ok()) {
      h.Elapse(milliseconds(100));
      continue;
    }
    for (int i = 0; i < 20; ++i) {
      int applied = 0;
      for (auto& [id, node] : h.nodes()) {
        for (const EntryPtr& entry : node.applied) applied += node.core && entry->data == command;
      }
      if (applied >= replicas) return true;
      h.Elapse(milliseconds(50));
    }
  }
  return false;
}

std::vector<uint64_t> Others(Harness& h, uint64_t than) {
  std::vector<uint64_t> out;
  for (auto& [id, node] : h.nodes()) {
    if (id.value() != than) out.push_back(id.value());
  }
  return out;
}

// All replicas applied the same commands in the same order.
void ExpectSame(Harness& h) {
  const std::vector<EntryPtr>* first = nullptr;
  for (auto& [id, node] : h.nodes()) {
    if (first == nullptr) first = &node.applied;
    ASSERT_EQ(node.applied.size(), first->size());
    for (size_t i = 0; i < first->size(); ++i) EXPECT_EQ(node.applied[i]->data, (*first)[i]->data);
  }
}

TEST(Lineage, InitialElection) {
  Harness h(3);
  uint64_t leader = h.ElectLeader();
  ASSERT_NE(leader, 0u);
  Term term = h.core(leader).term();
  h.Elapse(milliseconds(2000));
  EXPECT_EQ(h.core(leader).term(), term);
}

TEST(Lineage, ReElection) {
  Harness h(3);
  uint64_t first = h.ElectLeader();
  h.Isolate(first);
  uint64_t second = h.ElectLeader();
  ASSERT_NE(second, 0u);
  EXPECT_NE(second, first);
  h.Heal();
  EXPECT_EQ(h.ElectLeader(), second);
  // Without a quorum there is no leader; with it again there is.
  for (uint64_t other : Others(h, second)) h.Isolate(other);
  h.Elapse(milliseconds(2000));
  for (auto& [id, node] : h.nodes()) EXPECT_FALSE(node.core->IsLeader());
  h.Heal();
  EXPECT_NE(h.ElectLeader(), 0u);
}

TEST(Lineage, ManyElections) {
  Harness h(7);
  Random random(5);
  for (int round = 0; round < 10; ++round) {
    for (int i = 0; i < 3; ++i) h.Isolate(random.Below(7) + 1);
    EXPECT_NE(h.ElectLeader(), 0u) << round;
    h.Heal();
  }
}

TEST(Lineage, BasicAgreement) {
  Harness h(3);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Agree(h, "c" + std::to_string(i), 3));
  ExpectSame(h);
}

TEST(Lineage, EachCommandIsSentOncePerPeer) {
  Harness h(3);
  uint64_t leader = h.ElectLeader();
  h.Elapse(milliseconds(200));
  uint64_t bytes = 0;
  h.drop = [&](const Message& m) {
    for (const EntryPtr& entry : m.entries) bytes += entry->data.size();
    return false;
  };
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(h.Propose(leader, std::string(5000, 'x')).ok());
  h.Elapse(milliseconds(500));
  EXPECT_EQ(bytes, 2u * 10 * 5000);
}

TEST(Lineage, FollowerFailure) {
  Harness h(3);
  ASSERT_TRUE(Agree(h, "a", 3));
  uint64_t leader = h.ElectLeader();
  h.Isolate(Others(h, leader)[0]);
  ASSERT_TRUE(Agree(h, "b", 2));
  h.Isolate(Others(h, leader)[1]);
  Index commit = h.core(leader).commit_index();
  ASSERT_TRUE(h.Propose(leader, "never").ok());
  h.Elapse(milliseconds(2000));
  EXPECT_EQ(h.core(leader).commit_index(), commit);
}

TEST(Lineage, LeaderFailureNoCommitWithoutQuorum) {
  Harness h(3);
  uint64_t first = h.ElectLeader();
  h.Isolate(first);
  ASSERT_TRUE(Agree(h, "a", 2));
  uint64_t second = h.ElectLeader();
  h.Isolate(second);
  h.Elapse(milliseconds(3000));
  for (auto& [id, node] : h.nodes()) {
    for (const EntryPtr& entry : node.applied) EXPECT_EQ(entry->data, "a");
  }
}

TEST(Lineage, AgreementAfterRejoin) {
  Harness h(3);
  ASSERT_TRUE(Agree(h, "a", 3));
  uint64_t cut = Others(h, h.ElectLeader())[0];
  h.Isolate(cut);
  for (const char* c : {"b", "c", "d"}) ASSERT_TRUE(Agree(h, c, 2));
  h.Heal();
  ASSERT_TRUE(Agree(h, "e", 3));
  ExpectSame(h);
}

TEST(Lineage, NoAgreementWithoutQuorum) {
  Harness h(5);
  ASSERT_TRUE(Agree(h, "a", 5));
  uint64_t leader = h.ElectLeader();
  for (int i = 0; i < 3; ++i) h.Isolate(Others(h, leader)[static_cast<size_t>(i)]);
  Index commit = h.core(leader).commit_index();
  ASSERT_TRUE(h.Propose(leader, "lonely").ok());
  h.Elapse(milliseconds(2000));
  EXPECT_EQ(h.core(leader).commit_index(), commit);
  h.Heal();
  ASSERT_TRUE(Agree(h, "b", 5));
  ExpectSame(h);
}

TEST(Lineage, ConcurrentStarts) {
  Harness h(3);
  uint64_t leader = h.ElectLeader();
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(h.core(leader).Propose(h.now(), std::to_string(i)).ok());
  h.Elapse(milliseconds(200));
  for (auto& [id, node] : h.nodes()) EXPECT_EQ(node.applied.size(), 5u);
}

TEST(Lineage, RejoinOfAPartitionedLeaderDropsItsEntries) {
  Harness h(3);
  ASSERT_TRUE(Agree(h, "101", 3));
  uint64_t first = h.ElectLeader();
  h.Isolate(first);
  for (const char* c : {"102", "103", "104"}) ASSERT_TRUE(h.Propose(first, c).ok());
  ASSERT_TRUE(Agree(h, "103b", 2));
  h.Heal();
  ASSERT_TRUE(Agree(h, "105", 3));
  ExpectSame(h);
  for (const EntryPtr& entry : h.node(first).applied) EXPECT_NE(entry->data, "102");
}

TEST(Lineage, BackUpQuicklyOverConflictingEntries) {
  Harness h(5);
  uint64_t first = h.ElectLeader();
  uint64_t with = Others(h, first)[0];
  // The leader and one follower on one side collect 50 entries that never commit.
  for (uint64_t other : Others(h, first)) {
    if (other != with) h.Isolate(other);
  }
  for (int i = 0; i < 50; ++i) (void)h.Propose(first, "lost" + std::to_string(i));
  h.Elapse(milliseconds(300));
  h.Heal();
  h.Isolate(first);
  h.Isolate(with);
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(Agree(h, "kept" + std::to_string(i), 3));
  h.Heal();
  uint64_t before = h.messages_sent;
  ASSERT_TRUE(Agree(h, "last", 5));
  // A term is skipped at a time, not an entry.
  EXPECT_LT(h.messages_sent - before, 200u);
  h.Elapse(milliseconds(500));
  ExpectSame(h);
}

TEST(Lineage, MessageCounts) {
  Harness h(3);
  uint64_t leader = h.ElectLeader();
  EXPECT_LE(h.messages_sent, 30u);
  h.Elapse(milliseconds(100));
  uint64_t before = h.messages_sent;
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(h.Propose(leader, "x").ok());
    h.Stabilize();
  }
  EXPECT_LE(h.messages_sent - before, 42u);
  h.Elapse(milliseconds(100));
  before = h.messages_sent;
  h.Elapse(milliseconds(1000));
  EXPECT_LE(h.messages_sent - before, 60u);
}

TEST(Lineage, PersistOneByOneAndAllAtOnce) {
  Harness h(3);
  ASSERT_TRUE(Agree(h, "11", 3));
  for (uint64_t id = 1; id <= 3; ++id) h.Restart(id);
  ASSERT_TRUE(Agree(h, "12", 3));
  uint64_t leader = h.ElectLeader();
  h.Stop(leader);
  h.Restart(leader);
  ASSERT_TRUE(Agree(h, "13", 3));
  leader = h.ElectLeader();
  h.Isolate(leader);
  ASSERT_TRUE(Agree(h, "14", 2));
  h.Restart(leader);
  h.Heal();
  ASSERT_TRUE(Agree(h, "15", 3));
}

TEST(Lineage, Figure8) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Harness h(5, {}, seed);
    Random random(seed);
    for (int round = 0; round < 60; ++round) {
      for (auto& [id, node] : h.nodes()) {
        if (node.core && node.core->IsLeader()) (void)h.Propose(id.value(), std::to_string(round));
      }
      h.Elapse(milliseconds(random.Chance(0.1) ? random.Below(600) : random.Below(20)));
      int up = 0;
      for (auto& [id, node] : h.nodes()) up += node.core != nullptr;
      for (auto& [id, node] : h.nodes()) {
        if (node.core && node.core->IsLeader() && up > 3) {
          h.Stop(id.value());
          break;
        }
      }
      uint64_t down = random.Below(5) + 1;
      if (up < 4 && !h.node(down).core) h.Restart(down);
    }
    for (auto& [id, node] : h.nodes()) {
      if (!node.core) h.Restart(id.value());
    }
    ASSERT_TRUE(Agree(h, "end", 5)) << seed;
  }
}

TEST(Lineage, UnreliableAgreementAndFigure8Unreliable) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    Harness h(5, {}, seed);
    Random random(seed);
    h.drop = [&](const Message&) { return random.Chance(0.1); };
    for (int round = 0; round < 100; ++round) {
      for (auto& [id, node] : h.nodes()) {
        if (node.core->IsLeader()) (void)h.Propose(id.value(), std::to_string(round));
      }
      h.Elapse(milliseconds(random.Below(60)));
      if (random.Chance(0.1)) h.Isolate(random.Below(5) + 1);
      if (random.Chance(0.1)) {
        auto drop = h.drop;
        h.Heal();
        h.drop = drop;
      }
    }
    h.Heal();
    ASSERT_TRUE(Agree(h, "end", 5)) << seed;
    ExpectSame(h);
  }
}

TEST(Lineage, ChurnReliableAndUnreliable) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    Harness h(5, {}, seed);
    Random random(seed);
    if (seed % 2 == 0) h.drop = [&](const Message&) { return random.Chance(0.1); };
    for (int round = 0; round < 60; ++round) {
      for (auto& [id, node] : h.nodes()) {
        if (node.core && node.core->IsLeader()) (void)h.Propose(id.value(), std::to_string(round));
      }
      uint64_t id = random.Below(5) + 1;
      if (h.node(id).core && random.Chance(0.2))
        h.Stop(id);
      else if (!h.node(id).core && random.Chance(0.5))
        h.Restart(id);
      h.Elapse(milliseconds(random.Below(200)));
    }
    h.Heal();
    for (uint64_t id = 1; id <= 5; ++id) {
      if (!h.node(id).core) h.Restart(id);
    }
    ASSERT_TRUE(Agree(h, "end", 5)) << seed;
  }
}

// Snapshots: basic, install, with crashes: a follower that missed compacted entries gets them.
TEST(Lineage, SnapshotInstallReliableUnreliableAndWithCrash) {
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    Harness h(3, {}, seed);
    Random random(seed);
    h.send_snapshots = true;
    ASSERT_TRUE(Agree(h, "start", 3));
    if (seed % 3 == 1) h.drop = [&](const Message&) { return random.Chance(0.1); };
    for (int round = 0; round < 8; ++round) {
      uint64_t leader = h.ElectLeader();
      uint64_t victim = Others(h, leader)[random.Below(2)];
      if (seed % 2 == 0)
        h.Stop(victim);
      else
        h.Isolate(victim);
      for (int i = 0; i < 10; ++i) (void)h.Propose(h.ElectLeader(), "x");
      h.Elapse(milliseconds(300));
      leader = h.ElectLeader();
      auto& node = h.node(leader);
      SnapshotMeta at = node.snapshot;
      node.disk->Compact(at.index);
      node.disk->start = at;
      node.core->Compact(at.index);
      auto drop = h.drop;
      h.Heal();
      h.drop = drop;
      if (!h.node(victim).core) h.Restart(victim);
      h.Elapse(milliseconds(400));
      h.Elapse(milliseconds(600));
    }
    h.Heal();
    h.Elapse(milliseconds(1000));
    uint64_t leader = h.ElectLeader();
    ASSERT_NE(leader, 0u);
    for (auto& [id, node] : h.nodes()) {
      EXPECT_EQ(node.applied_index, h.core(leader).commit_index())
          << "seed " << seed << " replica " << id.value();
    }
  }
}

TEST(Lineage, AllCrashAndTheIndexNeverFalls) {
  Harness h(3);
  for (int round = 0; round < 5; ++round) {
    ASSERT_TRUE(Agree(h, "r" + std::to_string(round), 3));
    Index last;
    for (auto& [id, node] : h.nodes()) last = std::max(last, node.core->log().last_index());
    for (uint64_t id = 1; id <= 3; ++id) h.Restart(id);
    for (auto& [id, node] : h.nodes()) EXPECT_EQ(node.core->log().last_index(), last);
  }
}

}  // namespace
}  // namespace kvd::raft
