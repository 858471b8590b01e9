// Giving up a state: each step can be cut off by a crash, and what follows does the rest.
#include "server/state_files.h"

#include <filesystem>
#include <fstream>

#include "gtest/gtest.h"
#include "raft/durable_file.h"
#include "tests/scratch_directory.h"

namespace kvd::server {
namespace {

namespace fs = std::filesystem;

class StateFilesTest : public testing::Test {
 protected:
  void Put(const std::string& folder, const std::string& text) {
    fs::create_directories(Path(folder));
    std::ofstream(Path(folder + "/file")) << text;
  }
  std::string Get(const std::string& folder) {
    std::string text;
    std::ifstream file(Path(folder + "/file"));
    std::getline(file, text);
    return text;
  }
  std::string Path(const std::string& name) { return directory_.path() + "/" + name; }
  // As after the step that takes the note back.
  void ExpectGivenUp(const std::string& kept) {
    EXPECT_FALSE(fs::exists(Path("data")));
    EXPECT_EQ(Get("data.damaged"), kept);
    EXPECT_FALSE(files_.Condemned().has_value());
  }

  ScratchDirectory directory_;
  StateFiles files_{directory_.path()};
};

TEST_F(StateFilesTest, AWholeStateIsNotTouched) {
  Put("data", "whole");
  EXPECT_FALSE(files_.Condemned().has_value());
  EXPECT_FALSE(files_.HasOld());
  EXPECT_EQ(files_.Rebuilds(1000).total, 0u);
}

TEST_F(StateFilesTest, ACondemnedStateIsKeptAside) {
  Put("data", "damaged");
  ASSERT_TRUE(files_.Condemn("a block is bad").ok());
  EXPECT_EQ(files_.Condemned(), "a block is bad");
  EXPECT_EQ(Get("data"), "damaged");
  ASSERT_TRUE(files_.SetAside(1000, true).ok());
  ExpectGivenUp("damaged");
  EXPECT_TRUE(files_.HasOld());
  files_.RemoveOld();
  EXPECT_FALSE(files_.HasOld());
}

TEST_F(StateFilesTest, GoesOnWhereACrashCutItOff) {
  // The state was moved, the note not taken back.
  Put("data.damaged", "damaged");
  ASSERT_TRUE(files_.Condemn("why").ok());
  ASSERT_TRUE(files_.SetAside(1000, true).ok());
  ExpectGivenUp("damaged");
  // Nothing was there to move, or everything is done already.
  ASSERT_TRUE(files_.SetAside(1000, true).ok());
  ExpectGivenUp("damaged");
}

TEST_F(StateFilesTest, TheFirstOneIsKeptUntilAnotherIsWhole) {
  Put("data.damaged", "first");
  Put("data", "second");
  ASSERT_TRUE(files_.Condemn("why").ok());
  ASSERT_TRUE(files_.SetAside(1000, true).ok());
  ExpectGivenUp("first");
}

// What took its place was no better.
TEST_F(StateFilesTest, AnOldStateThatMayBeNeededIsNotRemoved) {
  ASSERT_TRUE(files_.KeepOld().ok());
  EXPECT_FALSE(files_.HasOld());
  Put("data.damaged", "first");
  ASSERT_TRUE(files_.KeepOld().ok());
  EXPECT_TRUE(files_.KeepsOld());
  files_.RemoveOld();
  Put("data", "second");
  ASSERT_TRUE(files_.Condemn("why").ok());
  ASSERT_TRUE(files_.SetAside(1000, true).ok());
  ExpectGivenUp("first");
}

TEST_F(StateFilesTest, ANoteCanBeTakenBack) {
  Put("data", "all there is");
  ASSERT_TRUE(files_.Condemn("why").ok());
  ASSERT_TRUE(files_.Absolve().ok());
  EXPECT_FALSE(files_.Condemned().has_value());
  EXPECT_EQ(Get("data"), "all there is");
}

TEST_F(StateFilesTest, CountsAllAndThoseOfTheLastHour) {
  for (uint64_t at : {1000, 1100, 5000}) {
    Put("data", "damaged");
    ASSERT_TRUE(files_.Condemn("why").ok());
    ASSERT_TRUE(files_.SetAside(at, false).ok());
  }
  EXPECT_EQ(files_.Rebuilds(5001).total, 3u);
  EXPECT_EQ(files_.Rebuilds(5001).last_hour, 1u);
  EXPECT_EQ(files_.Rebuilds(4650).last_hour, 2u);
  std::ofstream(Path("REBUILDS")) << "no number";
  EXPECT_EQ(files_.Rebuilds(5001).total, 0u);
}

TEST_F(StateFilesTest, ARecordThatDecayedCountsAsNone) {
  std::string whole = FormatRebuildTimes({3, {1000, 1100, 5000}});
  std::ofstream(Path("REBUILDS")) << whole;
  EXPECT_EQ(files_.Rebuilds(5001).total, 3u);
  for (size_t i = 0; i < whole.size(); ++i) {
    std::string decayed = whole;
    decayed[i] ^= 1;
    std::ofstream(Path("REBUILDS")) << decayed;
    EXPECT_EQ(files_.Rebuilds(5001).total, 0u) << decayed;
  }
  std::ofstream(Path("REBUILDS")) << whole << std::string(1 << 20, '1');
  EXPECT_EQ(files_.Rebuilds(5001).total, 0u);
}

TEST_F(StateFilesTest, ANoteThatDecayedIsStillANote) {
  std::ofstream(Path("DAMAGED")) << "a\x1b[2Jb" << std::string(1 << 20, 'c');
  std::string note = files_.Condemned().value_or("");
  EXPECT_EQ(note.substr(0, 7), "a?[2Jbc");
  EXPECT_EQ(note.size(), kNoteBytesMax);
  std::ofstream(Path("DAMAGED")) << "";
  EXPECT_EQ(files_.Condemned(), "");
}

}  // namespace
}  // namespace kvd::server
