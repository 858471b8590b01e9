// kvctl verify against real stores: a healthy cluster passes, and whatever is wrong with one store
// is found and laid at its door.
#include <signal.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/src/cluster_client.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/crc32c.h"
#include "server/storage/mvcc_key.h"
#include "server/storage/rocks_engine.h"
#include "server/storage/version.h"
#include "tests/cluster/mini_cluster.h"

namespace kvd {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

void Load(MiniCluster& cluster, int keys) {
  auto client = cluster.Connect();
  for (int i = 0; i < keys; ++i) {
    ASSERT_TRUE(
        client->Put(absl::StrCat("key", i), std::string(200, static_cast<char>('a' + i % 26)))
            .ok());
  }
}

int Follower(MiniCluster& cluster) { return cluster.Leader() % 3 + 1; }

// Flips one bit in the middle, or where told, of the largest file with this ending.
void FlipBit(const std::string& folder, const std::string& ending, std::streamoff at = 0) {
  std::filesystem::path found;
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    if (!absl::EndsWith(file.path().string(), ending)) continue;
    if (found.empty() || file.file_size() > std::filesystem::file_size(found)) found = file.path();
  }
  ASSERT_FALSE(found.empty());
  std::fstream io(found, std::ios::binary | std::ios::in | std::ios::out);
  if (at == 0) at = static_cast<std::streamoff>(std::filesystem::file_size(found) / 2);
  ASSERT_GT(at, 4096);
  io.seekg(at);
  char byte = static_cast<char>(io.get() ^ 0x10);
  io.seekp(at);
  io.put(byte);
}

TEST(Verify, AHealthyClusterPasses) {
  MiniCluster cluster(3);
  Load(cluster, 500);
  ASSERT_EQ(cluster.Kvctl({"delete", "--prefix", "key1"}).exit_code, 0);
  auto result = cluster.Kvctl({"verify"});
  EXPECT_EQ(result.exit_code, 0) << result.output;
  EXPECT_THAT(result.output, AllOf(HasSubstr("HASH"), HasSubstr("ok"), Not(HasSubstr("kvctl:"))));
  result = cluster.Kvctl({"-o", "json", "verify"});
  EXPECT_EQ(result.exit_code, 0) << result.output;
  EXPECT_THAT(result.output, AllOf(HasSubstr("\"ok\": true, \"replicas\""),
                                   HasSubstr("\"keys\": 389"), HasSubstr("\"verdict\": \"ok\"")));
  // Asked at a follower alone, it is passed on to the leader.
  std::string follower = cluster.Address(Follower(cluster));
  result = RunProgram({KvctlPath(), "--connect", follower, "verify"});
  EXPECT_EQ(result.exit_code, 0) << result.output;
}

TEST(Verify, AFlippedBitInAFileIsFoundAndNamed) {
  MiniCluster cluster(3);
  int victim = Follower(cluster);
  Load(cluster, 400);
  // A stop flushes: after it, everything lies in sorted files.
  ASSERT_EQ(cluster.Terminate(victim), 0);
  ASSERT_TRUE(cluster.Start(victim));
  ASSERT_TRUE(cluster.Converged());
  // The sweep goes through all keys once, in the first tenth of a second; after that nobody reads
  // them.
  client::ClusterClient client({}, std::chrono::seconds(1));
  ASSERT_TRUE(MiniCluster::Await([&] {
    auto status = client.StatusOf(cluster.Address(victim));
    return status.ok() && status->uptime_s() >= 1;
  }));
  ASSERT_EQ(cluster.Kvctl({"verify"}).exit_code, 0);
  FlipBit(cluster.DataDir(victim) + "/data", ".sst");
  auto result = cluster.Kvctl({"verify"});
  EXPECT_EQ(result.exit_code, 1) << result.output;
  EXPECT_THAT(result.output, AllOf(HasSubstr(absl::StrCat("kvctl: store ", victim, " damaged: ")),
                                   HasSubstr("checksum mismatch"), HasSubstr("ok")));
}

// The Raft log is checked as it lies on the disk, though its entries are all in memory.
TEST(Verify, AFlippedBitInTheLogIsFoundAndNamed) {
  MiniCluster cluster(3);
  int victim = Follower(cluster);
  Load(cluster, 400);
  ASSERT_TRUE(cluster.Converged());
  FlipBit(cluster.DataDir(victim) + "/raft", ".log", 20'000);
  auto result = cluster.Kvctl({"-o", "json", "verify"});
  EXPECT_EQ(result.exit_code, 1) << result.output;
  EXPECT_THAT(result.output,
              AllOf(HasSubstr("\"ok\": false, \"replicas\""), HasSubstr("\"checksum_errors\": 1"),
                    HasSubstr("damaged: 1 error; raft/*.log: ")));
}

// One more version, well-formed, in the files of a store that does not run.
void AddVersion(const std::string& directory, const std::string& key, const std::string& value) {
  auto engine = storage::RocksEngine::Open(directory, storage::RocksEngineOptions());
  ASSERT_TRUE(engine.ok()) << engine.status();
  storage::Version version;
  version.value = value;
  version.crc32c = ValueChecksum(key, value);
  auto batch = (*engine)->NewBatch();
  batch->Put(storage::VersionKey(GroupId(2), key, TimestampFromMillis(1'000'000'000'000)),
             storage::Encode(version));
  ASSERT_TRUE((*engine)->Write(*batch).ok());
  ASSERT_TRUE((*engine)->Flush().ok());
}

TEST(Verify, AReplicaThatDiffersIsNamed) {
  MiniCluster cluster(3);
  Load(cluster, 300);
  int victim = Follower(cluster);
  ASSERT_EQ(cluster.Terminate(victim), 0);
  AddVersion(cluster.DataDir(victim) + "/data", "nobody wrote this", "value");
  ASSERT_TRUE(cluster.Start(victim));
  auto result = cluster.Kvctl({"verify"});
  EXPECT_EQ(result.exit_code, 1) << result.output;
  EXPECT_THAT(result.output, AllOf(HasSubstr(absl::StrCat("kvctl: store ", victim, " differs: ")),
                                   HasSubstr("301 keys and 301 versions, most have 300 and 300")));
  for (int n = 1; n <= 3; ++n) {
    if (n == victim) continue;
    EXPECT_THAT(result.output, Not(HasSubstr(absl::StrCat("kvctl: store ", n, " "))));
  }
}

TEST(Verify, AStoreThatIsDownOrStandsStillIsNamedInTime) {
  MiniCluster cluster(3);
  Load(cluster, 100);
  int victim = Follower(cluster);
  kill(cluster.Pid(victim), SIGSTOP);
  auto result = cluster.Kvctl({"--timeout-ms", "1500", "verify"});
  EXPECT_EQ(result.exit_code, 1) << result.output;
  EXPECT_THAT(result.output, HasSubstr(absl::StrCat("kvctl: store ", victim, " does not answer")));
  kill(cluster.Pid(victim), SIGCONT);
  EXPECT_EQ(cluster.Kvctl({"verify"}).exit_code, 0);
  cluster.Kill(victim);
  result = cluster.Kvctl({"--timeout-ms", "1500", "verify"});
  EXPECT_EQ(result.exit_code, 1) << result.output;
  EXPECT_THAT(result.output, HasSubstr(absl::StrCat("kvctl: store ", victim, " does not answer")));
  ASSERT_TRUE(cluster.Start(victim));
  result = cluster.Kvctl({"verify"});
  EXPECT_EQ(result.exit_code, 0) << result.output;
}

}  // namespace
}  // namespace kvd
