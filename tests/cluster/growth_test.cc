// A cluster grows from one store to six while clients write, loses one for good, gives one up, and
// moves its shards meanwhile; nothing is lost, and every history is linearizable.
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cluster/load.h"
#include "tests/cluster/mini_cluster.h"

namespace kvd {
namespace {

std::string GroupList(MiniCluster& cluster) { return cluster.Kvctl({"group", "list"}).output; }

int Rows(const std::string& table) {
  return static_cast<int>(std::count(table.begin(), table.end(), '\n')) - 2;
}

// Whether nothing is under way, and there are so many groups with so many shards in all.
bool Settled(MiniCluster& cluster, int groups) {
  return Rows(GroupList(cluster)) == groups + 1 && Rows(cluster.Kvctl({"op", "list"}).output) == 0;
}

bool AwaitSettled(MiniCluster& cluster, int groups) {
  return MiniCluster::Await([&] { return Settled(cluster, groups); }, 60);
}

// Whether no group has a replica on the store.
bool HasNothing(MiniCluster& cluster, int store) {
  Finished list = cluster.Kvctl({"-o", "json", "group", "list"});
  std::string needle = "\"store_id\":\"" + std::to_string(store) + "\"";
  return list.exit_code == 0 && list.output.find(needle) == std::string::npos;
}

TEST(Growth, FromOneStoreToSixUnderLoad) {
  MiniCluster cluster(1, {"--cores", "4"});
  LoadOptions options;
  options.addresses = {cluster.Address(1)};
  options.mixed_batches = false;
  RecordedLoad load(options);
  auto progress = [&] {
    uint64_t before = load.acknowledged();
    return MiniCluster::Await([&] { return load.acknowledged() >= before + 100; });
  };
  ASSERT_TRUE(progress());
  for (const char* key : {"c", "p", "t", "t3"}) {
    auto split = cluster.Kvctl({"shard", "split", key});
    ASSERT_EQ(split.exit_code, 0) << split.output;
  }
  for (int stores : {3, 5, 6}) {
    while (cluster.size() < stores) cluster.Add();
    ASSERT_TRUE(AwaitSettled(cluster, stores))
        << GroupList(cluster) << cluster.Kvctl({"op", "list"}).output;
    ASSERT_TRUE(progress());
  }
  // Shards have spread.
  std::string shards = cluster.Kvctl({"shard", "list"}).output;
  EXPECT_EQ(Rows(shards), 5) << shards;

  // One is killed for good: its replicas go elsewhere.
  ASSERT_EQ(cluster.Kvctl({"setting", "set", "store-down-s", "10"}).exit_code, 0);
  cluster.Kill(4);
  ASSERT_TRUE(MiniCluster::Await([&] { return HasNothing(cluster, 4); }, 60))
      << GroupList(cluster) << cluster.Kvctl({"op", "list"}).output;
  ASSERT_TRUE(progress());
  // Another one is emptied, and stopped.
  ASSERT_EQ(cluster.Kvctl({"store", "drain", "2"}).exit_code, 0);
  ASSERT_TRUE(MiniCluster::Await([&] { return HasNothing(cluster, 2); }, 60))
      << GroupList(cluster) << cluster.Kvctl({"op", "list"}).output;
  EXPECT_EQ(cluster.Terminate(2), 0) << cluster.Log(2);
  ASSERT_TRUE(progress());
  load.Stop();
  EXPECT_THAT(load.Errors(), testing::IsEmpty());
  EXPECT_GT(load.Check(), 500u);
}

TEST(Growth, ARollingRestartLosesNothing) {
  MiniCluster cluster(3, {"--cores", "4"});
  RecordedLoad load({cluster.Address(1), cluster.Address(2), cluster.Address(3)}, 4, 8);
  for (int n = 1; n <= 3; ++n) {
    uint64_t before = load.acknowledged();
    ASSERT_TRUE(MiniCluster::Await([&] { return load.acknowledged() >= before + 100; }));
    EXPECT_EQ(cluster.Terminate(n), 0) << cluster.Log(n);
    ASSERT_TRUE(cluster.Start(n)) << cluster.Log(n);
    // The next one only once this one follows in every group.
    ASSERT_TRUE(MiniCluster::Await([&] {
      return RunProgram({"/usr/bin/curl", "-sf", "http://" + cluster.HttpAddress(n) + "/healthz"})
                 .exit_code == 0;
    }));
  }
  load.Stop();
  EXPECT_THAT(load.Errors(), testing::IsEmpty());
  load.Check();
  RecordProperty("longest_gap_ms", static_cast<int>(load.longest_gap_ms()));
}

}  // namespace
}  // namespace kvd
