// Damage in the state of real stores: the replica goes out and comes back by itself, rebuilt from
// the others, whether it leads or not, whether the files decay under it or while it does not run.
// No read is answered wrongly meanwhile. A store that is alone says so.
#include <filesystem>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/src/cluster_client.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cluster/lone_store.h"
#include "tests/cluster/mini_cluster.h"

namespace kvd {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr int kKeys = 200;

std::string ValueOf(int i) {
  return std::string(3000, static_cast<char>('a' + i % 26)) + std::to_string(i);
}

void Load(MiniCluster& cluster) {
  auto client = cluster.Connect();
  for (int i = 0; i < kKeys; ++i) ASSERT_TRUE(client->Put(absl::StrCat("key", i), ValueOf(i)).ok());
}

// Every read is right or is not answered, and in the end all are.
void ExpectAllReadable(MiniCluster& cluster) {
  auto client = cluster.Connect(std::chrono::seconds(20));
  for (int i = 0; i < kKeys; ++i) {
    auto value = client->Get(absl::StrCat("key", i));
    ASSERT_TRUE(value.ok()) << value.status();
    ASSERT_TRUE(value->has_value());
    ASSERT_EQ((*value)->bytes, ValueOf(i));
  }
}

std::vector<fs::path> FilesOf(const std::string& folder, const std::string& ending) {
  std::vector<fs::path> files;
  for (const auto& file : fs::directory_iterator(folder)) {
    if (absl::EndsWith(file.path().string(), ending) && file.file_size() > 0)
      files.push_back(file.path());
  }
  return files;
}

// Flips a bit every few kilobytes of all sorted files of the state, in place.
void Decay(const std::string& data_dir) {
  auto files = FilesOf(data_dir + "/data", ".sst");
  ASSERT_FALSE(files.empty());
  for (const fs::path& file : files) {
    std::fstream io(file, std::ios::binary | std::ios::in | std::ios::out);
    auto size = static_cast<std::streamoff>(fs::file_size(file));
    for (std::streamoff at = 200; at < size - 4096; at += 2000) {
      io.seekg(at);
      char byte = static_cast<char>(io.get() ^ 0x10);
      io.seekp(at);
      io.put(byte);
    }
  }
}

// Started with little memory for what was read, so that reads go to the disk, and with its data in
// sorted files.
class StateDamage : public testing::Test {
 protected:
  StateDamage()
      : cluster_(3, {"--block-cache-mb", "1", "--row-cache-mb", "0", "--log-keep-mb", "1"}) {
    Load(cluster_);
  }

  void Flush(int n) {
    ASSERT_EQ(cluster_.Terminate(n), 0);
    ASSERT_TRUE(cluster_.Start(n));
    ASSERT_TRUE(cluster_.Converged());
  }
  void MakeLeader(int n) {
    ASSERT_TRUE(MiniCluster::Await([&] {
      if (cluster_.Leader() == n) return true;
      (void)cluster_.Kvctl({"member", "transfer", std::to_string(n)});
      return false;
    }));
  }
  bool Rebuilt(int n, double times = 1) {
    return MiniCluster::Await(
        [&] {
          return cluster_.Metric(n, "kvd_state_rebuilds_total") >= times &&
                 cluster_.Metric(n, "kvd_state_missing{group=\"2\"}") == 0 &&
                 !fs::exists(cluster_.DataDir(n) + "/data.damaged");
        },
        60);
  }
  void ExpectWhole() {
    ASSERT_TRUE(cluster_.Converged());
    auto verified = cluster_.Kvctl({"verify"});
    EXPECT_EQ(verified.exit_code, 0) << verified.output;
    ExpectAllReadable(cluster_);
  }

  MiniCluster cluster_;
};

TEST_F(StateDamage, ALeaderThatReadsItGoesOutAndComesBack) {
  int victim = cluster_.Leader();
  Flush(victim);
  Decay(cluster_.DataDir(victim));
  MakeLeader(victim);
  pid_t pid = cluster_.Pid(victim);
  ExpectAllReadable(cluster_);
  ASSERT_TRUE(Rebuilt(victim)) << cluster_.Log(victim);
  EXPECT_EQ(cluster_.Pid(victim), pid);
  EXPECT_THAT(cluster_.Log(victim), HasSubstr("the state is damaged: "));
  EXPECT_THAT(cluster_.Log(victim), HasSubstr("the state is there again"));
  EXPECT_FALSE(fs::exists(cluster_.DataDir(victim) + "/DAMAGED"));
  ExpectWhole();
  // And it serves: the others are not needed for what it holds.
  MakeLeader(victim);
  ExpectAllReadable(cluster_);
}

TEST_F(StateDamage, AFollowerIsRebuiltOnceItIsVerified) {
  int victim = cluster_.Leader() % 3 + 1;
  Flush(victim);
  Decay(cluster_.DataDir(victim));
  (void)cluster_.Kvctl({"verify"});
  ASSERT_TRUE(Rebuilt(victim)) << cluster_.Log(victim);
  ExpectWhole();
}

// Meets it while it applies, since each of these looks at what is stored.
TEST_F(StateDamage, AFollowerThatCannotApplyIsRebuilt) {
  int victim = cluster_.Leader() % 3 + 1;
  Flush(victim);
  Decay(cluster_.DataDir(victim));
  auto client = cluster_.Connect(std::chrono::seconds(20));
  for (int i = 0; i < kKeys; ++i) ASSERT_TRUE(client->Append(absl::StrCat("key", i), "").ok());
  ASSERT_TRUE(Rebuilt(victim)) << cluster_.Log(victim);
  ExpectWhole();
}

TEST_F(StateDamage, FilesThatDecayWhileItIsStopped) {
  int victim = cluster_.Leader() % 3 + 1;
  double times = 0;
  auto broken = [&](const std::function<void(const std::string&)>& damage) {
    ASSERT_EQ(cluster_.Terminate(victim), 0);
    damage(cluster_.DataDir(victim) + "/data");
    ASSERT_TRUE(cluster_.Start(victim)) << cluster_.Log(victim);
    ASSERT_TRUE(Rebuilt(victim, ++times)) << cluster_.Log(victim);
    ExpectWhole();
  };
  broken([](const std::string& data) { fs::remove(data + "/CURRENT"); });
  broken([](const std::string& data) { std::ofstream(data + "/CURRENT") << "MANIFEST-999999\n"; });
  broken([](const std::string& data) {
    for (const auto& file : fs::directory_iterator(data)) {
      if (absl::StrContains(file.path().string(), "MANIFEST-")) fs::resize_file(file.path(), 20);
    }
  });
  broken([](const std::string& data) { fs::remove(FilesOf(data, ".sst").front()); });
}

// The note says that the state is to be given up; wherever a crash came after it, the next start
// goes on.
TEST_F(StateDamage, ACrashInBetweenChangesNothing) {
  int victim = cluster_.Leader() % 3 + 1;
  std::string directory = cluster_.DataDir(victim);
  double times = 0;
  auto interrupted = [&](const std::function<void()>& steps, double counted) {
    cluster_.Kill(victim);
    std::ofstream(directory + "/DAMAGED") << "a test\n";
    steps();
    ASSERT_TRUE(cluster_.Start(victim)) << cluster_.Log(victim);
    times += counted;
    ASSERT_TRUE(Rebuilt(victim, times)) << cluster_.Log(victim);
    ExpectWhole();
  };
  interrupted([] {}, 1);
  interrupted([&] { fs::rename(directory + "/data", directory + "/data.damaged"); }, 0);
  interrupted(
      [&] {
        fs::copy(directory + "/data", directory + "/data.damaged", fs::copy_options::recursive);
      },
      1);
}

TEST(StateDamageAlone, IsToldAndTheRestIsServed) {
  ScratchDirectory scratch;
  LoneStore store(scratch.path() + "/store", FreePortPair());
  ASSERT_TRUE(store.Start());
  auto client = store.Connect(std::chrono::seconds(20));
  for (int i = 0; i < 2000; ++i) ASSERT_TRUE(client->Put(absl::StrCat("key", i), ValueOf(i)).ok());
  auto files = [&] { return FilesOf(scratch.path() + "/store/data", ".sst"); };
  ASSERT_TRUE(MiniCluster::Await([&] { return !files().empty(); }));
  store.Kill();
  // One block of one file.
  fs::path file = files().front();
  std::fstream io(file, std::ios::binary | std::ios::in | std::ios::out);
  auto at = static_cast<std::streamoff>(fs::file_size(file) / 2);
  io.seekg(at);
  char byte = static_cast<char>(io.get() ^ 0x10);
  io.seekp(at);
  io.put(byte);
  io.close();
  if (!store.Start()) {
    EXPECT_EQ(ClosingLines(store.Log()).size(), 1u) << store.Log();
    return;
  }
  client = store.Connect(std::chrono::seconds(5));
  int lost = 0;
  for (int i = 0; i < 2000; ++i) {
    auto value = client->Get(absl::StrCat("key", i));
    if (absl::IsDataLoss(value.status())) {
      ++lost;
      continue;
    }
    ASSERT_TRUE(value.ok()) << value.status() << store.Log();
    ASSERT_TRUE(value->has_value());
    EXPECT_EQ((*value)->bytes, ValueOf(i));
  }
  EXPECT_GT(lost, 0);
  EXPECT_LT(lost, 100);
  EXPECT_THAT(store.Log(), HasSubstr("answered with DATA_LOSS"));
  EXPECT_FALSE(fs::exists(scratch.path() + "/store/DAMAGED"));
}

}  // namespace
}  // namespace kvd
