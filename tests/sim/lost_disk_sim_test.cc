// The lineage's scenarios of lost disks (MIT 6.824, lab 5 of 2015), by name, on whole simulated
// clusters.
#include "gtest/gtest.h"
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

bool Serves(Cluster& cluster, Duration limit) {
  bool done = false, ok = false;
  WorkloadOptions workload;
  workload.stores = 3;
  SimClient probe(&cluster.scheduler(), &cluster.network(), 5000, workload);
  probe.Probe([&](bool served) {
    ok = served;
    done = true;
  });
  return cluster.Await([&] { return done; }, limit) && ok;
}

uint64_t Follower(Cluster& cluster) { return cluster.Leader()->id().value() % 3 + 1; }

// Votes of a replica that was lost are nobody's: its id is never seen in a later configuration.
void ExpectReplaced(Cluster& cluster, size_t voters) {
  ASSERT_TRUE(cluster.Await(
      [&] {
        SimStore* leader = cluster.Leader();
        return leader != nullptr && cluster.LossesMended() &&
               leader->core().configuration().voters.size() == voters &&
               leader->core().configuration().learners.empty();
      },
      std::chrono::seconds(20)))
      << cluster.Describe();
  cluster.Converge();
}

TEST(LostDisk, OneLostDisk) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    Cluster cluster(Calm(seed));
    cluster.StartClients(2);
    cluster.Elapse(milliseconds(500));
    cluster.LoseDisk(StoreId(Follower(cluster)));
    ExpectReplaced(cluster, 3);
    cluster.CheckHistories();
  }
}

TEST(LostDisk, TheLeadersDisk) {
  for (uint64_t seed = 11; seed <= 20; ++seed) {
    Cluster cluster(Calm(seed));
    cluster.StartClients(2);
    cluster.Elapse(milliseconds(500));
    cluster.LoseDisk(cluster.Leader()->id());
    ExpectReplaced(cluster, 3);
    cluster.CheckHistories();
  }
}

TEST(LostDisk, OneLostDiskAndOneDownWaitForAMajority) {
  for (uint64_t seed = 21; seed <= 30; ++seed) {
    Cluster cluster(Calm(seed));
    cluster.StartClients(2);
    cluster.Elapse(milliseconds(500));
    uint64_t lost = Follower(cluster);
    uint64_t down = 6 - lost - cluster.Leader()->id().value();
    SimStore& leader = *cluster.Leader();
    cluster.store(down).Crash();
    cluster.LoseDisk(StoreId(lost));
    cluster.Elapse(std::chrono::seconds(10));
    // The lost one is back at its address and asks in vain: it is nobody's voter.
    Index applied = leader.core().applied_index();
    cluster.Elapse(std::chrono::seconds(10));
    EXPECT_EQ(leader.core().applied_index(), applied);
    EXPECT_EQ(cluster.Leader(), nullptr);
    EXPECT_EQ(cluster.stores().size(), 3u);
    cluster.store(down).Start();
    ASSERT_TRUE(Serves(cluster, std::chrono::seconds(20))) << cluster.Describe();
    ExpectReplaced(cluster, 3);
    cluster.CheckHistories();
  }
}

TEST(LostDisk, AGroupOfFiveStaysOne) {
  for (uint64_t seed = 41; seed <= 46; ++seed) {
    Cluster cluster(Calm(seed, 5));
    cluster.StartClients(2);
    for (int round = 0; round < 2; ++round) {
      ASSERT_TRUE(cluster.Await([&] { return cluster.Leader() != nullptr; }));
      cluster.LoseDisk(cluster.Leader()->core().configuration().voters.front().store);
      ExpectReplaced(cluster, 5);
    }
    cluster.CheckHistories();
  }
}

// The leader and the lost one; then the same with the one that was up meanwhile down.
TEST(LostDisk, RejoinMix) {
  for (uint64_t seed = 31; seed <= 36; ++seed) {
    Cluster cluster(Calm(seed, seed % 2 == 0 ? 5 : 3));
    size_t voters = seed % 2 == 0 ? 5 : 3;
    cluster.StartClients(2);
    for (int round = 0; round < 3; ++round) {
      cluster.Elapse(milliseconds(300));
      ASSERT_TRUE(cluster.Await([&] { return cluster.Leader() != nullptr; }));
      const auto& members = cluster.Leader()->core().configuration().voters;
      StoreId lost = members[static_cast<size_t>(round) % members.size()].store;
      StoreId down = members[static_cast<size_t>(round + 1) % members.size()].store;
      cluster.LoseDisk(lost);
      cluster.store(down.value()).Crash();
      cluster.Elapse(milliseconds(2500));
      cluster.store(down.value()).Start();
      ExpectReplaced(cluster, voters);
    }
    cluster.CheckHistories();
  }
}

}  // namespace
}  // namespace kvd::sim
