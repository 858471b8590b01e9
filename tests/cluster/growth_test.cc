// A cluster grows from one store to six while clients write, loses one for good, gives one up, and
// moves its shards meanwhile; nothing is lost, and every history is linearizable.
#include <signal.h>
#include <sys/wait.h>

#include <random>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cluster/load.h"
#include "tests/cluster/mini_cluster.h"

namespace kvd {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string GroupList(MiniCluster& cluster) { return cluster.Kvctl({"group", "list"}).output; }

int Rows(const std::string& table) {
  return static_cast<int>(std::count(table.begin(), table.end(), '\n')) - 2;
}

// By the first stores. Shards may be split under it and move: no batches of keys that have nothing
// in common.
LoadOptions LoadOn(const MiniCluster& cluster, int stores) {
  LoadOptions options;
  for (int n = 1; n <= stores; ++n) options.addresses.push_back(cluster.Address(n));
  options.mixed_batches = false;
  return options;
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
  RecordedLoad load(LoadOn(cluster, 1));
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

// The groups' numbers of a column of group list.
std::vector<uint64_t> Column(const std::string& table, const std::string& name,
                             bool controller = false) {
  std::vector<uint64_t> out;
  std::vector<std::string> lines = absl::StrSplit(table, '\n', absl::SkipEmpty());
  size_t at = lines[0].find(name);
  for (size_t i = 2; i < lines.size() && at != std::string::npos; ++i) {
    if (controller || !absl::StrContains(lines[i], "controller"))
      out.push_back(std::strtoull(lines[i].c_str() + at, nullptr, 10));
  }
  return out;
}

// Nobody says where to split and what to move.
TEST(Growth, DataAndLeadersSpreadByThemselves) {
  MiniCluster cluster(3, {"--cores", "4"});
  ASSERT_TRUE(AwaitSettled(cluster, 3)) << GroupList(cluster);
  ASSERT_EQ(cluster.Kvctl({"setting", "set", "shard-size-max-mb", "2"}).exit_code, 0);
  auto client = cluster.Connect();
  std::mt19937_64 random(1);
  std::string value(20'000, 'v');
  for (int i = 0; i < 1'000; ++i) {
    std::generate(value.begin(), value.end(), [&] { return static_cast<char>(random()); });
    ASSERT_TRUE(client->Put(absl::StrCat("key", 1'000 + i), value).ok());
  }
  auto spread = [&] {
    std::string groups = GroupList(cluster);
    std::vector<uint64_t> shards = Column(groups, "SHARDS"), sizes = Column(groups, "SIZE");
    std::vector<uint64_t> leaders = Column(groups, "LEADER", /*controller=*/true);
    std::set<uint64_t> leading(leaders.begin(), leaders.end());
    if (shards.size() != 3 || sizes.size() != 3 || leading.size() != 3) return false;
    for (uint64_t n : shards) {
      if (n < 2) return false;
    }
    return Settled(cluster, 3);
  };
  EXPECT_TRUE(MiniCluster::Await(spread, 60))
      << GroupList(cluster) << cluster.Kvctl({"shard", "list"}).output
      << cluster.Kvctl({"op", "list"}).output;
  auto explained = cluster.Kvctl({"explain", "shard", "--key", "key1500"});
  EXPECT_EQ(explained.exit_code, 0);
  EXPECT_THAT(explained.output, AllOf(HasSubstr("has the keys from"),
                                      HasSubstr("shards are split "), HasSubstr("size: ")));
  // Nothing was lost on the way.
  auto counted = cluster.Kvctl({"scan", "--count"});
  EXPECT_THAT(counted.output, HasSubstr("1000"));
  EXPECT_EQ(cluster.Kvctl({"verify"}).exit_code, 0);
}

TEST(Growth, AStoreWithASlowDiskLeadsNothing) {
  MiniCluster cluster(3, {"--cores", "4"});
  ASSERT_TRUE(AwaitSettled(cluster, 3)) << GroupList(cluster);
  auto leads = [&](uint64_t store) {
    std::vector<uint64_t> leaders = Column(GroupList(cluster), "LEADER", /*controller=*/true);
    return std::count(leaders.begin(), leaders.end(), store);
  };
  ASSERT_TRUE(MiniCluster::Await([&] { return leads(1) > 0 && leads(2) > 0 && leads(3) > 0; }))
      << GroupList(cluster);
  RecordedLoad load(LoadOn(cluster, 3));
  pid_t tracer = Spawn({"/usr/bin/strace", "-f", "-q", "-e", "trace=fdatasync", "-e",
                        "inject=fdatasync:delay_enter=300000", "-o", "/dev/null", "-p",
                        std::to_string(cluster.Pid(2))},
                       cluster.DataDir(2) + ".strace");
  auto begun = std::chrono::steady_clock::now();
  EXPECT_TRUE(MiniCluster::Await([&] { return leads(2) == 0; }, 30)) << GroupList(cluster);
  RecordProperty("seconds", static_cast<int>(std::chrono::duration_cast<std::chrono::seconds>(
                                                 std::chrono::steady_clock::now() - begun)
                                                 .count()));
  std::string stores = cluster.Kvctl({"store", "list"}).output;
  EXPECT_THAT(stores, HasSubstr("slow"));
  kill(tracer, SIGTERM);
  waitpid(tracer, nullptr, 0);
  load.Stop();
  EXPECT_THAT(load.Errors(), testing::IsEmpty());
  load.Check();
  EXPECT_TRUE(MiniCluster::Await([&] { return leads(2) > 0; }, 60)) << GroupList(cluster);
}

TEST(Growth, ARollingRestartLosesNothing) {
  MiniCluster cluster(3, {"--cores", "4"});
  RecordedLoad load(LoadOn(cluster, 3));
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
