// A disk that gives EIO: what can't be read is damage, and the state is rebuilt from the others;
// where a sync fails the process ends, since what it wrote may be gone.
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cluster/mini_cluster.h"

namespace kvd {
namespace {

using testing::HasSubstr;

constexpr int kKeys = 200;

std::string ValueOf(int i) {
  return std::string(3000, static_cast<char>('a' + i % 26)) + std::to_string(i);
}

// The largest sorted file of a state.
std::string LargestFile(const std::string& folder) {
  std::string largest;
  uintmax_t bytes = 0;
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    if (file.path().extension() != ".sst" || file.file_size() < bytes) continue;
    bytes = file.file_size();
    largest = file.path();
  }
  EXPECT_NE(largest, "");
  return largest;
}

// For every process that is started as long as it lives.
class FailingDisk {
 public:
  FailingDisk() {
    setenv("FAILING_DISK_FILE", Path().c_str(), 1);
    setenv("LD_PRELOAD", FAILING_DISK_LIBRARY, 1);
  }
  ~FailingDisk() {
    unsetenv("LD_PRELOAD");
    unsetenv("FAILING_DISK_FILE");
  }
  // pread or fsync, of files with this in their path.
  void Fail(char call, const std::string& part) { std::ofstream(Path()) << call << part; }
  void Mend() { std::filesystem::remove(Path()); }

 private:
  std::string Path() const { return directory_.path() + "/switch"; }

  ScratchDirectory directory_;
};

class FailingDiskTest : public testing::Test {
 protected:
  FailingDiskTest() {
    auto client = cluster_.Connect();
    for (int i = 0; i < kKeys; ++i)
      EXPECT_TRUE(client->Put(absl::StrCat("key", i), ValueOf(i)).ok());
  }
  void ExpectAllReadable() {
    auto client = cluster_.Connect(std::chrono::seconds(20));
    for (int i = 0; i < kKeys; ++i) {
      auto value = client->Get(absl::StrCat("key", i));
      ASSERT_TRUE(value.ok() && value->has_value()) << value.status();
      ASSERT_EQ((*value)->bytes, ValueOf(i));
    }
  }
  void ExpectWhole() {
    ASSERT_TRUE(cluster_.Converged());
    auto verified = cluster_.Kvctl({"verify"});
    EXPECT_EQ(verified.exit_code, 0) << verified.output;
    ExpectAllReadable();
  }

  FailingDisk disk_;
  MiniCluster cluster_{3, {"--block-cache-mb", "1", "--write-buffer-mb", "1"}};
};

TEST_F(FailingDiskTest, AStateThatCannotBeReadIsRebuilt) {
  int victim = cluster_.Leader();
  // Afterwards what it holds is in sorted files.
  ASSERT_EQ(cluster_.Terminate(victim), 0);
  ASSERT_TRUE(cluster_.Start(victim));
  ASSERT_TRUE(cluster_.Converged());
  ASSERT_TRUE(MiniCluster::Await([&] {
    if (cluster_.Leader() == victim) return true;
    (void)cluster_.Kvctl({"member", "transfer", std::to_string(victim)});
    return false;
  }));
  pid_t pid = cluster_.Pid(victim);
  disk_.Fail('r', LargestFile(cluster_.DataDir(victim) + "/data"));
  (void)cluster_.Kvctl({"verify"});
  ExpectAllReadable();
  ASSERT_TRUE(MiniCluster::Await([&] {
    return absl::StrContains(cluster_.Log(victim), "the state is damaged: ");
  })) << cluster_.Log(victim);
  disk_.Mend();
  EXPECT_THAT(cluster_.Log(victim), HasSubstr("Input/output error"));
  ASSERT_TRUE(MiniCluster::Await(
      [&] {
        return cluster_.Metric(victim, "kvd_state_rebuilds_total") >= 1 &&
               cluster_.Metric(victim, "kvd_state_missing{group=\"2\"}") == 0;
      },
      60))
      << cluster_.Log(victim);
  EXPECT_EQ(cluster_.Pid(victim), pid);
  ExpectWhole();
}

TEST_F(FailingDiskTest, AStoreWhoseSyncFailsEndsWithOneLineAndComesBackWhole) {
  int victim = cluster_.Leader() % 3 + 1;
  // The directory entries and small files of all, then the note of the log's end alone.
  for (const char* part : {"/", "/raft"}) {
    cluster_.Kill(victim);
    size_t before = cluster_.Log(victim).size();
    disk_.Fail('s', cluster_.DataDir(victim) + part);
    EXPECT_FALSE(cluster_.Start(victim)) << part;
    std::string log = cluster_.Log(victim).substr(before);
    EXPECT_EQ(ClosingLines(log).size(), 1u) << log;
    EXPECT_THAT(log, HasSubstr("Input/output error"));
    disk_.Mend();
    ASSERT_TRUE(cluster_.Start(victim)) << cluster_.Log(victim);
    ExpectWhole();
  }
}

TEST_F(FailingDiskTest, AStoreWhoseWriteFailsEndsWithOneLineAndComesBackWhole) {
  int victim = cluster_.Leader() % 3 + 1;
  auto client = cluster_.Connect(std::chrono::seconds(20));
  // The log's own files, then what a flush writes.
  for (const char* part : {"/raft/", "/data/"}) {
    size_t before = cluster_.Log(victim).size();
    disk_.Fail('w', cluster_.DataDir(victim) + part);
    int i = 0;
    ASSERT_TRUE(MiniCluster::Await([&] {
      for (int n = 0; n < 20; ++n, i = (i + 1) % kKeys) {
        (void)client->Put(absl::StrCat("key", i), ValueOf(i));
      }
      return !ClosingLines(cluster_.Log(victim).substr(before)).empty();
    })) << part;
    cluster_.Kill(victim);  // it has ended by itself
    std::string log = cluster_.Log(victim).substr(before);
    EXPECT_EQ(ClosingLines(log).size(), 1u) << log;
    EXPECT_THAT(log, HasSubstr("Input/output error"));
    EXPECT_THAT(log, HasSubstr(part));
    disk_.Mend();
    ASSERT_TRUE(cluster_.Start(victim)) << cluster_.Log(victim);
    ExpectWhole();
  }
}

}  // namespace
}  // namespace kvd
