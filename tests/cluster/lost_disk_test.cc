// A lost disk is a lost replica: its store comes back by itself under new ids, as a learner that
// votes once it has everything, and the old replica never counts again. With real stores; the
// lineage's scenarios (MIT 6.824, lab 5 of 2015) by name.
#include <signal.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>

#include "client/src/cluster_client.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/data_directory.h"
#include "tests/cluster/load.h"
#include "tests/cluster/mini_cluster.h"

namespace kvd {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

// What a store says of its group, as its members see it.
struct Seen {
  uint64_t store = 0;
  int voters = 0;
  int members = 0;
  bool joint = false;
};

Seen See(const MiniCluster& cluster, int n) {
  Seen seen;
  auto status = client::ClusterClient({}, std::chrono::seconds(1)).StatusOf(cluster.Address(n));
  if (!status.ok()) return seen;
  seen.store = status->store_id();
  const v1::GroupStatus* group = DataGroupOf(*status);
  if (group == nullptr) return seen;
  seen.joint = group->joint();
  for (const auto& replica : group->replicas()) {
    ++seen.members;
    seen.voters += replica.voter() ? 1 : 0;
  }
  return seen;
}

// Whether the store at place n is a voter of three under another id, and nobody else is a member.
bool TakesItsOwnPlace(const MiniCluster& cluster, int n, uint64_t old_store) {
  return MiniCluster::Await(
      [&] {
        Seen seen = See(cluster, n);
        if (seen.store == 0 || seen.store == old_store || seen.joint || seen.voters != 3 ||
            seen.members != 3)
          return false;
        auto status =
            client::ClusterClient({}, std::chrono::seconds(1)).StatusOf(cluster.Address(n));
        if (!status.ok()) return false;
        // The controller's replica too.
        for (const v1::GroupStatus& group : status->groups()) {
          // One that was just created knows of nobody yet.
          if (group.joint() || group.replicas_size() != 3) return false;
          for (const auto& replica : group.replicas()) {
            if (replica.store_id() == old_store || !replica.voter()) return false;
          }
        }
        return status->groups_size() == 2;
      },
      40);
}

// Whether the store has saved who is in its two groups, once these have grown.
bool HasSavedVoters(const MiniCluster& cluster, int n) {
  std::string saved = ReadAll(cluster.DataDir(n) + "/PEERS");
  int voters = 0;
  for (size_t at = saved.find(" voter"); at != std::string::npos; at = saved.find(" voter", at + 1))
    ++voters;
  return voters == 6;
}

bool SameEverywhere(MiniCluster& cluster) {
  if (!cluster.Converged()) return false;
  Finished verified = cluster.Kvctl({"verify"});
  EXPECT_EQ(verified.exit_code, 0) << verified.output;
  return verified.exit_code == 0;
}

// Another store than the leader, and with --join.
int Victim(MiniCluster& cluster) { return cluster.Leader() == 2 ? 3 : 2; }

void LoseDisk(MiniCluster& cluster, int n) { fs::remove_all(cluster.DataDir(n)); }

class LostDisk : public testing::Test {
 protected:
  LostDisk() : cluster_(3), client_(cluster_.Connect()) {
    for (int i = 0; i < 50; ++i) Put("k" + std::to_string(i));
  }
  void Put(const std::string& key) { EXPECT_TRUE(client_->Put(key, "of " + key).ok()); }
  void ExpectAllThere() {
    for (int i = 0; i < 50; ++i) {
      auto found = client_->Get("k" + std::to_string(i));
      ASSERT_TRUE(found.ok() && found->has_value()) << i;
    }
  }

  MiniCluster cluster_;
  std::unique_ptr<Client> client_;
};

TEST_F(LostDisk, OneLostDisk) {
  int n = Victim(cluster_);
  uint64_t old_store = See(cluster_, n).store;
  cluster_.Kill(n);
  LoseDisk(cluster_, n);
  ASSERT_TRUE(cluster_.Start(n)) << cluster_.Log(n);
  EXPECT_TRUE(TakesItsOwnPlace(cluster_, n, old_store))
      << cluster_.Kvctl({"member", "list"}).output;
  ExpectAllThere();
  EXPECT_TRUE(SameEverywhere(cluster_));
  // The new one's vote counts: without another store there is still a majority.
  int other = 6 - n - cluster_.Leader();
  if (other == n || other < 1 || other > 3) other = n == 2 ? 3 : 2;
  cluster_.Kill(other);
  EXPECT_TRUE(client_->Put("after", "all").ok());
}

TEST_F(LostDisk, ALostLogComesBackThroughSavedPeers) {
  // Store 1 was never told to join anybody.
  uint64_t old_store = See(cluster_, 1).store;
  ASSERT_TRUE(MiniCluster::Await([&] { return fs::exists(cluster_.DataDir(1) + "/PEERS"); }));
  ASSERT_TRUE(MiniCluster::Await([&] { return HasSavedVoters(cluster_, 1); }));
  cluster_.Kill(1);
  fs::remove_all(cluster_.DataDir(1) + "/raft");
  ASSERT_TRUE(cluster_.Start(1)) << cluster_.Log(1);
  EXPECT_THAT(
      cluster_.Log(1),
      HasSubstr("the Raft log of store 1 is gone: the replicas of store 1 never vote again"));
  EXPECT_TRUE(TakesItsOwnPlace(cluster_, 1, old_store)) << cluster_.Log(1);
  ExpectAllThere();
  EXPECT_TRUE(SameEverywhere(cluster_));
  // What was set aside goes once the new replica is admitted.
  EXPECT_TRUE(MiniCluster::Await([&] {
    return !fs::exists(cluster_.DataDir(1) + "/lost") &&
           ReadAll(cluster_.DataDir(1) + "/KVD").find("lost") == std::string::npos;
  })) << cluster_.Log(1);
  // It is an ordinary store from now on.
  cluster_.Kill(1);
  ASSERT_TRUE(cluster_.Start(1)) << cluster_.Log(1);
  EXPECT_TRUE(SameEverywhere(cluster_));
}

TEST_F(LostDisk, ALogBeyondRepairIsALostOne) {
  int n = Victim(cluster_);
  uint64_t old_store = See(cluster_, n).store;
  cluster_.Kill(n);
  // Without the side file nobody can tell what the damaged part had acknowledged.
  std::string raft = cluster_.DataDir(n) + "/raft";
  fs::remove(raft + "/SYNCED");
  for (const auto& entry : fs::directory_iterator(raft)) {
    if (entry.path().extension() == ".log")
      std::ofstream(entry.path(), std::ios::in | std::ios::out).seekp(100) << "damage";
  }
  ASSERT_TRUE(cluster_.Start(n)) << cluster_.Log(n);
  EXPECT_THAT(cluster_.Log(n), HasSubstr("never vote again"));
  EXPECT_TRUE(TakesItsOwnPlace(cluster_, n, old_store)) << cluster_.Log(n);
  EXPECT_TRUE(SameEverywhere(cluster_));
}

TEST_F(LostDisk, OneLostDiskAndOneDown) {
  int lost = Victim(cluster_);
  uint64_t old_store = See(cluster_, lost).store;
  int down = lost == 2 ? 3 : 2;
  cluster_.Kill(lost);
  Put("without the lost one");
  cluster_.Kill(down);
  LoseDisk(cluster_, lost);
  // It is nobody's voter: with store 1 it makes no majority, however long it waits.
  cluster_.Launch(lost);
  auto hasty = cluster_.Connect(std::chrono::seconds(3));
  EXPECT_FALSE(hasty->Put("k", "by a minority").ok());
  EXPECT_EQ(See(cluster_, lost).store, 0u);
  ASSERT_TRUE(MiniCluster::Await(
      [&] { return cluster_.Log(lost).find("trying again") != std::string::npos; }));
  // A majority of those who know is back.
  ASSERT_TRUE(cluster_.Start(down)) << cluster_.Log(down);
  ASSERT_TRUE(cluster_.Start(lost)) << cluster_.Log(lost);
  EXPECT_TRUE(TakesItsOwnPlace(cluster_, lost, old_store)) << cluster_.Log(lost);
  ExpectAllThere();
  auto found = client_->Get("without the lost one");
  EXPECT_TRUE(found.ok() && found->has_value());
  EXPECT_TRUE(SameEverywhere(cluster_));
}

TEST_F(LostDisk, RejoinMix) {
  std::vector<std::string> addresses;
  for (int n = 1; n <= 3; ++n) addresses.push_back(cluster_.Address(n));
  RecordedLoad load(addresses, 4, 6);
  for (int n : {2, 3, 2}) {
    uint64_t old_store = See(cluster_, n).store;
    cluster_.Kill(n);
    if (n == 3) {
      fs::remove_all(cluster_.DataDir(n) + "/raft");
    } else {
      LoseDisk(cluster_, n);
    }
    // Ended again and again on its way back.
    for (int round = 0; round < 4; ++round) {
      cluster_.Launch(n);
      size_t begun = cluster_.Log(n).size();
      MiniCluster::Await(
          [&] { return cluster_.Log(n).size() > begun + 100 * static_cast<size_t>(round); }, 5);
      cluster_.Kill(n);
    }
    ASSERT_TRUE(cluster_.Start(n)) << cluster_.Log(n);
    ASSERT_TRUE(TakesItsOwnPlace(cluster_, n, old_store)) << cluster_.Log(n);
  }
  load.Stop();
  EXPECT_GT(load.Check(), 100u);
  EXPECT_TRUE(SameEverywhere(cluster_));
}

TEST_F(LostDisk, ItNeverChangesItsMind) {
  int n = Victim(cluster_);
  uint64_t old_store = See(cluster_, n).store;
  cluster_.Kill(n);
  {
    // It ended right after its replica was declared lost: log and state are there, whole.
    auto directory = server::DataDirectory::Open(cluster_.DataDir(n));
    ASSERT_TRUE(directory.ok()) << directory.status();
    ASSERT_TRUE((*directory)->BeginAgain((*directory)->identity(), 12345).ok());
  }
  ASSERT_TRUE(cluster_.Start(n)) << cluster_.Log(n);
  EXPECT_TRUE(TakesItsOwnPlace(cluster_, n, old_store)) << cluster_.Log(n);
  EXPECT_TRUE(SameEverywhere(cluster_));
}

TEST_F(LostDisk, AStateWithoutANameIsALostReplicasToo) {
  ASSERT_TRUE(MiniCluster::Await([&] { return HasSavedVoters(cluster_, 1); }));
  cluster_.Kill(1);
  fs::remove_all(cluster_.DataDir(1) + "/raft");
  fs::remove(cluster_.DataDir(1) + "/KVD");
  ASSERT_TRUE(cluster_.Start(1)) << cluster_.Log(1);
  EXPECT_TRUE(TakesItsOwnPlace(cluster_, 1, 1)) << cluster_.Log(1);
  EXPECT_TRUE(SameEverywhere(cluster_));
}

TEST_F(LostDisk, ARemovedStoreStaysOutWithoutItsLog) {
  int n = Victim(cluster_);
  uint64_t store = See(cluster_, n).store;
  cluster_.Kill(n);
  auto removed = cluster_.Kvctl({"store", "remove", std::to_string(store), "--lost"});
  ASSERT_EQ(removed.exit_code, 0) << removed.output;
  fs::remove_all(cluster_.DataDir(n) + "/raft");
  EXPECT_FALSE(cluster_.Start(n));
  EXPECT_THAT(cluster_.Log(n), HasSubstr("was removed from the cluster"));
}

TEST_F(LostDisk, TwoLiveStoresWithOneAddress) {
  int n = Victim(cluster_);
  std::string directory = cluster_.DataDir(n) + "-twin";
  std::string log = directory + ".log";
  std::string listen = "127.0.0.1:" + std::to_string(FreePortPair());
  pid_t pid = Spawn({KvdPath(), "--listen", listen, "--advertise", cluster_.Address(n),
                     "--data-dir", directory, "--join", cluster_.Address(1)},
                    log);
  int status = 0;
  bool ended = MiniCluster::Await([&] { return waitpid(pid, &status, WNOHANG) == pid; }, 40);
  if (!ended) {
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
  }
  EXPECT_TRUE(ended);
  EXPECT_EQ(ExitCode(status), 1);
  EXPECT_THAT(ReadAll(log),
              HasSubstr("address \"" + cluster_.Address(n) + "\" is that of store " +
                        std::to_string(See(cluster_, n).store) + ", which was heard from"));
  EXPECT_EQ(See(cluster_, 1).voters, 3);
  EXPECT_TRUE(SameEverywhere(cluster_));
}

TEST(LostDiskAlone, TheOnlyVoterSaysWhatIsLostAndStops) {
  MiniCluster cluster(1);
  auto client = cluster.Connect();
  ASSERT_TRUE(client->Put("k", "v").ok());
  ASSERT_TRUE(MiniCluster::Await([&] { return fs::exists(cluster.DataDir(1) + "/PEERS"); }));
  cluster.Kill(1);
  std::string directory = cluster.DataDir(1);
  std::string identity = ReadAll(directory + "/KVD");
  fs::rename(directory + "/raft", directory + "-raft");
  EXPECT_FALSE(cluster.Start(1));
  EXPECT_THAT(cluster.Log(1), HasSubstr("the Raft log of store 1 is gone, it was the only voter"));
  EXPECT_EQ(ReadAll(directory + "/KVD"), identity);
  // Nor does it begin another cluster over its state when its name is gone too.
  fs::remove_all(directory + "/raft");
  fs::rename(directory + "/KVD", directory + "-KVD");
  EXPECT_FALSE(cluster.Start(1));
  EXPECT_THAT(
      cluster.Log(1),
      HasSubstr("it holds data/ but neither a Raft log nor a KVD file, it was the only voter"));
  fs::rename(directory + "-KVD", directory + "/KVD");
  // Nothing was touched: with its log it is whole again.
  fs::remove_all(directory + "/raft");
  fs::rename(directory + "-raft", directory + "/raft");
  ASSERT_TRUE(cluster.Start(1)) << cluster.Log(1);
  auto found = client->Get("k");
  ASSERT_TRUE(found.ok() && found->has_value());
  EXPECT_EQ((*found)->bytes, "v");
}

}  // namespace
}  // namespace kvd
