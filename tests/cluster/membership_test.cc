// Stores come, are emptied and go, and groups follow, with real stores.
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cluster/mini_cluster.h"

namespace kvd {
namespace {

using testing::HasSubstr;

// Stores that vote in the first data group, in order; empty if that can't be told.
std::vector<int> Voters(MiniCluster& cluster) {
  std::vector<int> found;
  std::string list = cluster.Kvctl({"member", "list"}).output;
  for (size_t line = list.find('\n'); line != std::string::npos; line = list.find('\n', line + 1)) {
    std::string row = list.substr(line + 1, list.find('\n', line + 1) - line - 1);
    if (row.find("  yes  ") != std::string::npos) found.push_back(std::stoi(row));
  }
  std::sort(found.begin(), found.end());
  return found;
}

bool Votes(MiniCluster& cluster, int store) {
  std::vector<int> voters = Voters(cluster);
  return std::find(voters.begin(), voters.end(), store) != voters.end();
}

// Whether no group has a replica on the store.
bool IsEmpty(MiniCluster& cluster, int store) {
  std::string list = cluster.Kvctl({"store", "list"}).output;
  size_t row = list.find("\n" + std::to_string(store) + " ");
  return row != std::string::npos &&
         list.substr(row, list.find('\n', row + 1) - row).find("  draining  0  ") !=
             std::string::npos;
}

TEST(Membership, AFourthStoreTakesADrainedOnesPlaceAndServes) {
  MiniCluster cluster(4);
  auto client = cluster.Connect();
  ASSERT_TRUE(client->Put("k", "before").ok());
  int leader = cluster.Leader();
  int victim = 0;
  for (int n : Voters(cluster)) victim = n != leader ? n : victim;
  auto drained = cluster.Kvctl({"store", "drain", std::to_string(victim)});
  EXPECT_EQ(drained.exit_code, 0) << drained.output;
  ASSERT_TRUE(MiniCluster::Await([&] { return IsEmpty(cluster, victim); }, 40))
      << cluster.Kvctl({"store", "list"}).output << cluster.Kvctl({"op", "list"}).output;
  ASSERT_EQ(Voters(cluster).size(), 3u);
  auto removed = cluster.Kvctl({"store", "remove", std::to_string(victim)});
  EXPECT_EQ(removed.exit_code, 0) << removed.output;
  // It is out for good, and says so.
  ASSERT_TRUE(MiniCluster::Await([&] {
    return cluster.Log(victim).find("was removed from the cluster") != std::string::npos;
  })) << cluster.Log(victim);
  cluster.Kill(victim);
  // The others' votes count: with another store down there is still a quorum.
  for (int n : Voters(cluster)) {
    if (n == cluster.Leader()) continue;
    cluster.Kill(n);
    break;
  }
  ASSERT_TRUE(client->Put("k", "after").ok());
  EXPECT_EQ((*client->Get("k"))->bytes, "after");
}

TEST(Membership, ALeaderThatIsDrainedHandsOver) {
  MiniCluster cluster(4);
  int leader = cluster.Leader();
  auto client = cluster.Connect();
  ASSERT_EQ(cluster.Kvctl({"store", "drain", std::to_string(leader)}).exit_code, 0);
  ASSERT_TRUE(client->Put("k", "v").ok());
  ASSERT_TRUE(MiniCluster::Await([&] { return IsEmpty(cluster, leader); }, 40))
      << cluster.Kvctl({"op", "list"}).output;
  EXPECT_FALSE(Votes(cluster, leader));
  ASSERT_TRUE(client->Put("k", "w").ok());
  // Taken back, it may have replicas again.
  EXPECT_EQ(cluster.Kvctl({"store", "undrain", std::to_string(leader)}).exit_code, 0);
  EXPECT_THAT(cluster.Kvctl({"store", "list"}).output, testing::Not(HasSubstr("draining")));
}

TEST(Membership, TheLastStoreIsNotDrained) {
  MiniCluster cluster(1);
  auto drained = cluster.Kvctl({"store", "drain", "1"});
  EXPECT_NE(drained.exit_code, 0);
  EXPECT_THAT(drained.output, HasSubstr("store 1 is the last one that serves"));
  auto removed = cluster.Kvctl({"store", "remove", "7"});
  EXPECT_THAT(removed.output, HasSubstr("store 7 is not known to the cluster"));
}

TEST(Membership, AReplicaIsPutElsewhereByHand) {
  MiniCluster cluster(4);
  std::vector<int> voters = Voters(cluster);
  ASSERT_EQ(voters.size(), 3u);
  int spare = 10 - voters[0] - voters[1] - voters[2];
  int leaving = voters[0] == cluster.Leader() ? voters[1] : voters[0];
  auto replaced =
      cluster.Kvctl({"member", "replace", std::to_string(leaving), std::to_string(spare)});
  EXPECT_EQ(replaced.exit_code, 0) << replaced.output;
  EXPECT_TRUE(
      MiniCluster::Await([&] { return Votes(cluster, spare) && !Votes(cluster, leaving); }));
  auto unknown = cluster.Kvctl({"member", "add", "99"});
  EXPECT_EQ(unknown.exit_code, 1);
  EXPECT_THAT(unknown.output, HasSubstr("store 99 is not known to the cluster"));
}

}  // namespace
}  // namespace kvd
