// Whose data it is: told again after a restart, or refused.
#include "server/data_directory.h"

#include <filesystem>
#include <fstream>
#include <iterator>

#include "gtest/gtest.h"
#include "tests/scratch_directory.h"

namespace kvd::server {
namespace {

StoreIdentity Identity() {
  StoreIdentity identity;
  identity.state = StoreIdentity::State::kReady;
  identity.cluster = ClusterId(1234567890123456789);
  identity.store = StoreId(2);
  identity.nonce = 987654321;
  return identity;
}

class DataDirectoryTest : public testing::Test {
 protected:
  void Save() {
    auto opened = DataDirectory::Open(directory_.path());
    ASSERT_TRUE(opened.ok()) << opened.status();
    ASSERT_TRUE((*opened)->Save(Identity()).ok());
  }
  std::string Read() const {
    std::ifstream in(Path(), std::ios::binary);
    return std::string((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  }
  void Write(const std::string& text) const { std::ofstream(Path(), std::ios::binary) << text; }

  const std::string& Directory() const { return directory_.path(); }

  // The identity is what was saved, or opening says that it can't be told.
  void ExpectSameOrRefused(const std::string& what) const {
    auto opened = DataDirectory::Open(directory_.path());
    if (!opened.ok()) {
      EXPECT_EQ(opened.status().code(), absl::StatusCode::kDataLoss)
          << what << ": " << opened.status();
      return;
    }
    const StoreIdentity& found = (*opened)->identity();
    StoreIdentity saved = Identity();
    EXPECT_EQ(found.state, saved.state) << what;
    EXPECT_EQ(found.cluster, saved.cluster) << what;
    EXPECT_EQ(found.store, saved.store) << what;
    EXPECT_EQ(found.nonce, saved.nonce) << what;
  }

 private:
  std::string Path() const { return directory_.path() + "/KVD"; }
  ScratchDirectory directory_;
};

TEST_F(DataDirectoryTest, NoFlippedBitMakesItAnothersData) {
  Save();
  const std::string whole = Read();
  for (size_t bit = 0; bit < whole.size() * 8; ++bit) {
    std::string text = whole;
    text[bit / 8] = static_cast<char>(text[bit / 8] ^ (1 << bit % 8));
    Write(text);
    ExpectSameOrRefused("bit " + std::to_string(bit));
  }
}

TEST_F(DataDirectoryTest, CutShortItIsRefusedOrTheSame) {
  Save();
  const std::string whole = Read();
  for (size_t size = 0; size < whole.size(); ++size) {
    Write(whole.substr(0, size));
    ExpectSameOrRefused("cut to " + std::to_string(size));
  }
}

TEST_F(DataDirectoryTest, AFileWithoutAChecksumIsRead) {
  Save();
  std::string text = Read();
  Write(text.substr(0, text.find("checksum")));
  auto opened = DataDirectory::Open(Directory());
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ((*opened)->identity().store, StoreId(2));
}

// Ended after any of the steps from a lost log to a new one, a store goes on from there, and
// nothing of the old replica is where the new one's would be.
TEST_F(DataDirectoryTest, ALostReplicaIsSetAsideStepByStep) {
  namespace fs = std::filesystem;
  auto write = [&](const std::string& name) {
    fs::create_directories(fs::path(Directory() + "/" + name).parent_path());
    std::ofstream(Directory() + "/" + name) << "old";
  };
  Save();
  write("raft/log");
  write("data/state");
  write("lost/raft/of an earlier loss that is over");
  {
    auto opened = DataDirectory::Open(Directory());
    ASSERT_TRUE(opened.ok() && (*opened)->BeginAgain(Identity(), 42).ok());
    EXPECT_TRUE((*opened)->HoldsDatabases());
    EXPECT_FALSE((*opened)->HoldsLost());
  }
  for (int again = 0; again < 2; ++again) {
    auto opened = DataDirectory::Open(Directory());
    ASSERT_TRUE(opened.ok()) << opened.status();
    const StoreIdentity& identity = (*opened)->identity();
    EXPECT_EQ(identity.state, StoreIdentity::State::kJoining);
    EXPECT_EQ(identity.cluster, Identity().cluster);
    EXPECT_EQ(identity.lost, Identity().store);
    EXPECT_EQ(identity.nonce, 42u);
    EXPECT_FALSE(identity.store);
    if (again == 0) {
      // Half of the way: the log is there, the state is not.
      fs::create_directories((*opened)->lost_path());
      fs::rename((*opened)->raft_path(), (*opened)->lost_path() + "/raft");
    }
    ASSERT_TRUE((*opened)->SetAside().ok());
    EXPECT_FALSE((*opened)->HoldsDatabases());
    EXPECT_TRUE(fs::exists(Directory() + "/lost/raft/log"));
    EXPECT_TRUE(fs::exists(Directory() + "/lost/data/state"));
  }
  // Lost again before it was admitted: what is in lost/ had got further.
  write("raft/of the learner");
  auto opened = DataDirectory::Open(Directory());
  ASSERT_TRUE(opened.ok() && (*opened)->BeginAgain((*opened)->identity(), 43).ok() &&
              (*opened)->SetAside().ok());
  EXPECT_FALSE((*opened)->HoldsDatabases());
  EXPECT_TRUE(fs::exists(Directory() + "/lost/raft/log"));
  EXPECT_EQ((*opened)->identity().lost, Identity().store);
  ASSERT_TRUE((*opened)->DropLost().ok());
  EXPECT_FALSE((*opened)->HoldsLost());
}

// KVD, PEERS and the log were lost together: which store it was nobody knows, and what is left of
// it is kept all the same until its successor is admitted.
TEST_F(DataDirectoryTest, WhatIsLeftOfAnUnknownReplicaIsKeptUntilAnotherIsAdmitted) {
  namespace fs = std::filesystem;
  fs::create_directories(Directory() + "/data");
  std::ofstream(Directory() + "/data/state") << "a member's";
  {
    auto opened = DataDirectory::Open(Directory());
    ASSERT_TRUE(opened.ok() && (*opened)->BeginAgain(StoreIdentity(), 42).ok() &&
                (*opened)->SetAside().ok());
    StoreIdentity joined = (*opened)->identity();
    EXPECT_FALSE(joined.lost);
    joined.cluster = ClusterId(1);
    joined.store = StoreId(4);
    joined.state = StoreIdentity::State::kReady;
    ASSERT_TRUE((*opened)->Save(joined).ok());
  }
  auto opened = DataDirectory::Open(Directory());
  ASSERT_TRUE(opened.ok() && (*opened)->BeginAgain((*opened)->identity(), 43).ok() &&
              (*opened)->SetAside().ok());
  EXPECT_TRUE(fs::exists(Directory() + "/lost/data/state"));
  EXPECT_EQ((*opened)->identity().lost, StoreId(4));
}

Peers Three() {
  Peers peers{ClusterId(7), StoreId(2), {}, {}};
  peers.addresses = {{StoreId(1), "a:1"}, {StoreId(2), "b:1"}, {StoreId(4), "c:1"}};
  peers.members.push_back({GroupId(2), ReplicaId(5), StoreId(2), true});
  peers.members.push_back({GroupId(2), ReplicaId(6), StoreId(4), true});
  return peers;
}

TEST(PeersTest, EveryChangedBitIsSeen) {
  const std::string whole = FormatPeers(Three());
  ASSERT_TRUE(ParsePeers(whole).ok());
  EXPECT_EQ(*ParsePeers(whole), Three());
  for (size_t bit = 0; bit < whole.size() * 8; ++bit) {
    std::string text = whole;
    text[bit / 8] = static_cast<char>(text[bit / 8] ^ (1 << bit % 8));
    EXPECT_FALSE(ParsePeers(text).ok()) << "bit " << bit;
  }
  for (size_t size = 0; size < whole.size(); ++size)
    EXPECT_FALSE(ParsePeers(whole.substr(0, size)).ok());
}

TEST(PeersTest, OnlyWhoHasSomebodyToAskAndIsNotTheOnlyVoterJoinsAnew) {
  EXPECT_EQ(AddressesOfOthers(Three()), (std::vector<std::string>{"c:1", "a:1"}));
  EXPECT_TRUE(MayJoinAnew(Three(), false).ok());
  EXPECT_TRUE(MayJoinAnew(std::nullopt, true).ok());
  EXPECT_FALSE(MayJoinAnew(std::nullopt, false).ok());
  Peers alone = Three();
  alone.members.pop_back();
  EXPECT_FALSE(MayJoinAnew(alone, true).ok());
  // One such group is enough.
  alone = Three();
  alone.members.push_back({GroupId(3), ReplicaId(7), StoreId(2), true});
  EXPECT_FALSE(MayJoinAnew(alone, true).ok());
  Peers learner = Three();
  learner.members[0].voter = false;
  EXPECT_TRUE(MayJoinAnew(learner, false).ok());
}

}  // namespace
}  // namespace kvd::server
