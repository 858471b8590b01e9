// Real stores on small disks: writes stop before the disk is full and go on by themselves, reads
// and deletes never stop, and nothing acknowledged is lost.
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/check.h"
#include "raft/runtime/random.h"
#include "tests/cluster/mini_cluster.h"

namespace kvd {
namespace {

using testing::HasSubstr;

constexpr size_t kDiskMb = 320;
const std::vector<std::string> kFlags = {"--disk-low-water-mb", "64", "--disk-reserve-mb", "96",
                                         "--write-buffer-mb",   "1",  "--log-keep-mb",     "4",
                                         "--retention-s",       "2"};

class DiskFull : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "a small disk can be mounted by root only";
  }
  void TearDown() override {
    cluster_.reset();
    for (const std::string& path : mounted_) umount2(path.c_str(), MNT_DETACH);
  }

  // Stores from `first_small` to `last_small` get a small disk of their own.
  void Start(int stores, int first_small, int last_small) {
    cluster_ = std::make_unique<MiniCluster>(stores, kFlags, [&](const MiniCluster& cluster) {
      for (int n = first_small; n <= last_small; ++n) {
        std::string path = cluster.DataDir(n);
        std::filesystem::create_directories(path);
        std::string size = absl::StrCat("size=", kDiskMb, "m");
        KVD_CHECK(mount("kvd-test", path.c_str(), "tmpfs", 0, size.c_str()) == 0);
        mounted_.push_back(path);
      }
    });
  }

  // Puts values that do not compress until one is refused; what was acknowledged goes to `kept_`.
  absl::Status Fill(Client& client) {
    for (int i = 0; i < 2000; ++i) {
      std::string value(256 << 10, '\0');
      for (char& c : value) c = static_cast<char>(random_.Next());
      std::string key = absl::StrCat("fill/", next_++);
      auto put = client.Put(key, value);
      if (!put.ok()) return put.status();
      kept_[key] = value;
    }
    return absl::OkStatus();
  }

  void ExpectAllThere(Client& client) {
    for (const auto& [key, value] : kept_) {
      auto got = client.Get(key);
      ASSERT_TRUE(got.ok()) << got.status();
      ASSERT_TRUE(got->has_value() && (*got)->bytes == value) << key;
    }
  }

  // What another program leaves on the disk: all but `left_mb`.
  void Ballast(int n, uint64_t left_mb) {
    std::string path = cluster_->DataDir(n) + "/ballast";
    std::ofstream out(path, std::ios::binary | std::ios::app);
    std::string block(1 << 20, 'b');
    while (std::filesystem::space(cluster_->DataDir(n)).available > (left_mb << 20) &&
           out.write(block.data(), static_cast<std::streamsize>(block.size())).flush()) {
    }
  }

  bool AwaitDiskState(int n, double state) {
    return MiniCluster::Await([&] { return cluster_->Metric(n, "kvd_disk_state") == state; }, 30);
  }
  bool AwaitWrites(Client& client, int seconds = 60) {
    return MiniCluster::Await(
        [&] {
          std::string key = absl::StrCat("again/", next_++);
          if (!client.Put(key, "value").ok()) return false;
          kept_[key] = "value";
          return true;
        },
        seconds);
  }
  // Until compactions, and a log cut short, give no more room to go on in.
  absl::Status FillForGood(Client& client) {
    absl::Status refused;
    do {
      refused = Fill(client);
    } while (AwaitWrites(client, 5));
    return refused;
  }
  // Whether it is seen while the disk is full. The room that a late compaction makes is filled
  // again.
  bool WhileFull(Client& client, const std::function<bool()>& seen) {
    auto look = [&] {
      if (seen()) return true;
      (void)Fill(client);
      return false;
    };
    return MiniCluster::Await(look, 60);
  }
  uint64_t ReserveBytes(int n) {
    struct stat found;
    if (stat((cluster_->DataDir(n) + "/RESERVE").c_str(), &found) != 0) return 0;
    return static_cast<uint64_t>(found.st_blocks) * 512;
  }

  std::unique_ptr<MiniCluster> cluster_;
  std::vector<std::string> mounted_;
  Random random_{7};
  uint64_t next_ = 0;
  std::map<std::string, std::string> kept_;
};

TEST_F(DiskFull, WritesStopBeforeItAndGoOnAfterDeletes) {
  Start(1, 1, 1);
  auto client = cluster_->Connect();
  EXPECT_EQ(ReserveBytes(1), 96u << 20);
  absl::Status refused = FillForGood(*client);
  EXPECT_TRUE(absl::IsResourceExhausted(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("the disk of store 1 is nearly full: "));
  EXPECT_THAT(std::string(refused.message()),
              HasSubstr(" bytes are free, writes that add data need "));
  auto refuses = [](const auto& result) { return absl::IsResourceExhausted(result.status()); };
  auto shows = [&](std::vector<std::string> words, const char* text) {
    return absl::StrContains(cluster_->Kvctl(std::move(words)).output, text);
  };
  EXPECT_TRUE(WhileFull(*client, [&] { return refuses(client->Append("a", "b")); }));
  EXPECT_TRUE(WhileFull(*client, [&] { return refuses(client->Increment("n", 1)); }));
  EXPECT_TRUE(WhileFull(*client, [&] { return shows({"put", "k", "v"}, "bytes are free"); }));
  EXPECT_TRUE(WhileFull(
      *client, [&] { return shows({"status"}, "LOW, ") || shows({"status"}, "CRITICAL, "); }));
  EXPECT_TRUE(WhileFull(*client, [&] { return cluster_->Metric(1, "kvd_disk_state") >= 1; }));
  EXPECT_GT(kept_.size(), 100u);
  ExpectAllThere(*client);
  auto one = client->Delete(kept_.begin()->first);
  EXPECT_TRUE(one.ok()) << one.status();
  auto deleted = cluster_->Kvctl({"delete", "--prefix", "fill/"});
  EXPECT_EQ(deleted.exit_code, 0) << deleted.output;
  kept_.clear();
  EXPECT_TRUE(AwaitWrites(*client)) << cluster_->Log(1) << cluster_->Metrics(1);
  EXPECT_TRUE(AwaitDiskState(1, 0));
  EXPECT_TRUE(cluster_->Running(1));
  EXPECT_EQ(ReserveBytes(1), 96u << 20);
  ExpectAllThere(*client);
}

TEST_F(DiskFull, FilledByOthersItEndsAndServesWhatItCanAfterARestart) {
  Start(1, 1, 1);
  auto client = cluster_->Connect();
  for (int i = 0; i < 100; ++i) {
    std::string key = absl::StrCat("key", i);
    kept_[key] = std::string(100'000, static_cast<char>('a' + i % 26));
    ASSERT_TRUE(client->Put(key, kept_[key]).ok());
  }
  cluster_->Kill(1);
  Ballast(1, 0);
  ASSERT_EQ(std::filesystem::space(cluster_->DataDir(1)).available >> 20, 0u);
  ASSERT_TRUE(cluster_->Start(1)) << cluster_->Log(1);
  EXPECT_THAT(cluster_->Log(1), HasSubstr("the reserve of 100663296 bytes is given back"));
  EXPECT_LT(ReserveBytes(1), 96u << 20);
  ExpectAllThere(*client);
  EXPECT_TRUE(absl::IsResourceExhausted(client->Put("more", "data").status()));
  ASSERT_TRUE(client->Delete("key7").ok());
  kept_.erase("key7");
  std::filesystem::remove(cluster_->DataDir(1) + "/ballast");
  EXPECT_TRUE(AwaitWrites(*client)) << cluster_->Log(1);
  EXPECT_TRUE(MiniCluster::Await([&] { return ReserveBytes(1) == 96u << 20; }));
  ExpectAllThere(*client);
  EXPECT_FALSE((*client->Get("key7")).has_value());
}

TEST_F(DiskFull, AFullFollowerLagsAndCatchesUp) {
  Start(3, 3, 3);
  if (cluster_->Leader() == 3) {
    ASSERT_EQ(cluster_->Kvctl({"member", "transfer", "1"}).exit_code, 0);
  }
  auto client = cluster_->Connect();
  Ballast(3, 10);
  ASSERT_TRUE(MiniCluster::Await([&] { return cluster_->Metric(3, "kvd_disk_state") >= 1; }, 30));
  Ballast(3, 10);
  ASSERT_TRUE(AwaitDiskState(3, 2)) << cluster_->Metrics(3);
  for (int i = 0; i < 300; ++i) {
    std::string key = absl::StrCat("key", i);
    kept_[key] = std::string(100'000, static_cast<char>('a' + i % 26));
    auto put = client->Put(key, kept_[key]);
    ASSERT_TRUE(put.ok()) << put.status();
  }
  EXPECT_TRUE(cluster_->Running(3));
  EXPECT_EQ(cluster_->Metric(3, "kvd_disk_state"), 2) << "it takes nothing in";
  std::filesystem::remove(cluster_->DataDir(3) + "/ballast");
  EXPECT_TRUE(AwaitDiskState(3, 0));
  EXPECT_TRUE(cluster_->Converged());
  EXPECT_EQ(cluster_->Kvctl({"verify"}).exit_code, 0);
  ExpectAllThere(*client);
}

}  // namespace
}  // namespace kvd
