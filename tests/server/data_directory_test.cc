// Whose data it is: told again after a restart, or refused.
#include "server/data_directory.h"

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
  identity.replica = ReplicaId(3);
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
    EXPECT_EQ(found.replica, saved.replica) << what;
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

}  // namespace
}  // namespace kvd::server
