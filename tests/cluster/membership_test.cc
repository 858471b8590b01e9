// Members come, take over from each other and go, with real stores.
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cluster/mini_cluster.h"

namespace kvd {
namespace {

using testing::HasSubstr;

// Whether the leader counts these stores, and no others, as voters.
bool Voters(MiniCluster& cluster, const std::vector<std::string>& stores) {
  return MiniCluster::Await([&] {
    std::string wanted, found;
    for (const std::string& store : stores) wanted += store + " ";
    std::string list = cluster.Kvctl({"member", "list"}).output;
    for (size_t line = list.find('\n'); line != std::string::npos;
         line = list.find('\n', line + 1)) {
      std::string row = list.substr(line + 1, list.find('\n', line + 1) - line - 1);
      if (row.find("  yes  ") != std::string::npos) found += row.substr(0, row.find(' ')) + " ";
    }
    return found == wanted;
  });
}

TEST(Membership, AFourthStoreFollowsReplacesAndServes) {
  MiniCluster cluster(4);
  ASSERT_TRUE(Voters(cluster, {"1", "2", "3"}));
  EXPECT_THAT(cluster.Kvctl({"member", "list"}).output, HasSubstr("learner"));
  auto client = cluster.Connect();
  ASSERT_TRUE(client->Put("k", "before").ok());
  int leader = cluster.Leader();
  int victim = leader % 3 + 1;
  auto replaced = cluster.Kvctl({"member", "replace", std::to_string(victim), "4"});
  EXPECT_EQ(replaced.exit_code, 0) << replaced.output;
  std::vector<std::string> voters;
  for (int n = 1; n <= 4; ++n) {
    if (n != victim) voters.push_back(std::to_string(n));
  }
  ASSERT_TRUE(Voters(cluster, voters));
  // The removed store is out for good: started again it says so, and joins only as a new one.
  cluster.Kill(victim);
  EXPECT_FALSE(cluster.Start(victim)) << cluster.Log(victim);
  EXPECT_THAT(cluster.Log(victim), HasSubstr("was removed from the cluster"));
  // The new voter's vote counts: with another store down there is still a quorum.
  int other = 0;
  for (int n = 1; n <= 3; ++n) {
    if (n != victim && n != leader) other = n;
  }
  cluster.Kill(other);
  ASSERT_TRUE(client->Put("k", "after").ok());
  EXPECT_EQ((*client->Get("k"))->bytes, "after");
}

TEST(Membership, ALeaderThatIsRemovedHandsOver) {
  MiniCluster cluster(3);
  int leader = cluster.Leader();
  auto removed = cluster.Kvctl({"member", "remove", std::to_string(leader)});
  EXPECT_TRUE(removed.exit_code == 0 || removed.exit_code == 4) << removed.output;
  auto client = cluster.Connect();
  ASSERT_TRUE(client->Put("k", "v").ok());
  std::vector<std::string> voters;
  for (int n = 1; n <= 3; ++n) {
    if (n != leader) voters.push_back(std::to_string(n));
  }
  EXPECT_TRUE(Voters(cluster, voters));
}

}  // namespace
}  // namespace kvd
