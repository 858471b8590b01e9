// Three real stores under load, killed in every way that leaves the disks: what was acknowledged is
// there, once, and the recorded history is linearizable.
#include <filesystem>

#include "gtest/gtest.h"
#include "tests/cluster/load.h"
#include "tests/cluster/mini_cluster.h"

namespace kvd {
namespace {

std::vector<std::string> AddressesOf(const MiniCluster& cluster) {
  std::vector<std::string> out;
  for (int n = 1; n <= cluster.size(); ++n) out.push_back(cluster.Address(n));
  return out;
}

// Waits until the load has got something done since.
bool Progress(const RecordedLoad& load, uint64_t operations) {
  uint64_t before = load.acknowledged();
  return MiniCluster::Await([&] { return load.acknowledged() >= before + operations; }, 20);
}

TEST(Durability, KillEachStoreInTurnThenAllAtOnce) {
  MiniCluster cluster(3);
  RecordedLoad load(AddressesOf(cluster), 4, 6);
  ASSERT_TRUE(Progress(load, 200));
  for (int n = 1; n <= 3; ++n) {
    cluster.Kill(n);
    ASSERT_TRUE(Progress(load, 100)) << "no progress without store " << n;
    ASSERT_TRUE(cluster.Start(n)) << cluster.Log(n);
    ASSERT_TRUE(Progress(load, 100));
  }
  int leader = cluster.Leader();
  cluster.Kill(leader);
  ASSERT_TRUE(Progress(load, 100)) << "no progress without the leader";
  ASSERT_TRUE(cluster.Start(leader));
  for (int n = 1; n <= 3; ++n) cluster.Kill(n);
  for (int n = 1; n <= 3; ++n) ASSERT_TRUE(cluster.Start(n)) << cluster.Log(n);
  ASSERT_TRUE(Progress(load, 200));
  load.Stop();
  EXPECT_GT(load.Check(), 800u);
  EXPECT_TRUE(cluster.Converged());
  RecordProperty("longest_gap_ms", static_cast<int>(load.longest_gap_ms()));
  RecordProperty("unknown", static_cast<int>(load.unknown()));
}

TEST(Durability, EveryAcknowledgedWriteIsThereOnceAfterAllCrash) {
  MiniCluster cluster(3);
  auto client = cluster.Connect();
  for (int i = 0; i < 300; ++i) {
    ASSERT_TRUE(client->Append("log", std::to_string(i) + ",").ok());
    ASSERT_TRUE(client->Put("key" + std::to_string(i), std::string(1000, 'x')).ok());
  }
  for (int n = 1; n <= 3; ++n) cluster.Kill(n);
  for (int n = 1; n <= 3; ++n) ASSERT_TRUE(cluster.Start(n));
  std::string expected;
  for (int i = 0; i < 300; ++i) expected += std::to_string(i) + ",";
  auto log = client->Get("log");
  ASSERT_TRUE(log.ok()) << log.status();
  EXPECT_EQ((*log)->bytes, expected);
  ScanOptions scan;
  scan.start = "key";
  scan.end = "kez";
  auto scanner = client->Scan(scan);
  int rows = 0;
  while (scanner->Next()) ++rows;
  EXPECT_TRUE(scanner->status().ok());
  EXPECT_EQ(rows, 300);
}

TEST(Durability, AGracefulStopHandsOverAndLosesNothing) {
  MiniCluster cluster(3);
  RecordedLoad load(AddressesOf(cluster), 2, 4);
  ASSERT_TRUE(Progress(load, 100));
  for (int round = 0; round < 3; ++round) {
    int leader = cluster.Leader();
    ASSERT_NE(leader, 0);
    EXPECT_EQ(cluster.Terminate(leader), 0) << cluster.Log(leader);
    ASSERT_TRUE(Progress(load, 50));
    ASSERT_TRUE(cluster.Start(leader)) << cluster.Log(leader);
  }
  load.Stop();
  load.Check();
  EXPECT_TRUE(cluster.Converged());
}

bool InstalledASnapshot(const MiniCluster& cluster, int n) {
  return MiniCluster::Await(
      [&] { return cluster.Metric(n, "kvd_raft_snapshots_installed_total") == 1; }, 10);
}

bool LogStartsBehind(const MiniCluster& cluster, int n, double index) {
  return MiniCluster::Await(
      [&] { return cluster.Metric(n, "kvd_raft_log_start_index{group=\"2\"}") > index; });
}

TEST(Durability, ALaggardCatchesUpBySnapshot) {
  MiniCluster cluster(3, {"--log-keep-mb", "1", "--write-buffer-mb", "1"});
  auto client = cluster.Connect();
  int laggard = cluster.Leader() % 3 + 1;
  cluster.Kill(laggard);
  std::string value(50'000, 'v');
  for (int i = 0; i < 400; ++i) {
    ASSERT_TRUE(client->Put("big" + std::to_string(i), value).ok());
  }
  ASSERT_TRUE(LogStartsBehind(cluster, cluster.Leader(), 200)) << cluster.Metrics(cluster.Leader());
  ASSERT_TRUE(cluster.Start(laggard));
  ASSERT_TRUE(cluster.Converged()) << cluster.Log(laggard);
  EXPECT_TRUE(InstalledASnapshot(cluster, laggard)) << cluster.Metrics(laggard);
}

// The state's files are gone, the log's are there and begin behind them: the others have it all.
TEST(Durability, ALostStateIsRebuiltFromTheOthers) {
  MiniCluster cluster(3, {"--log-keep-mb", "1", "--write-buffer-mb", "1"});
  auto client = cluster.Connect();
  std::string value(50'000, 'v');
  for (int i = 0; i < 400; ++i) {
    ASSERT_TRUE(client->Put("big" + std::to_string(i), value).ok());
  }
  for (int n = 1; n <= 3; ++n) {
    ASSERT_TRUE(LogStartsBehind(cluster, n, 200)) << cluster.Metrics(n);
    cluster.Kill(n);
    std::filesystem::remove_all(cluster.DataDir(n) + "/data");
    ASSERT_TRUE(cluster.Start(n)) << cluster.Log(n);
    ASSERT_TRUE(client->Put("after" + std::to_string(n), value).ok());
    ASSERT_TRUE(cluster.Converged()) << cluster.Log(n);
    EXPECT_TRUE(InstalledASnapshot(cluster, n)) << cluster.Metrics(n);
  }
  for (int i = 0; i < 400; ++i) {
    auto got = client->Get("big" + std::to_string(i));
    ASSERT_TRUE(got.ok() && got->has_value() && (*got)->bytes == value) << i;
  }
}

}  // namespace
}  // namespace kvd
