// The size of a log as its bounds see it.
#include "raft/log_size.h"

#include "gtest/gtest.h"

namespace kvd::raft {
namespace {

constexpr uint64_t kMiB = 1 << 20;

LogSize Filled(uint64_t entries, uint64_t bytes) {
  LogSize size;
  size.Begin(Index(100));
  for (uint64_t i = 1; i <= entries; ++i) size.Add(Index(100 + i), bytes);
  return size;
}

TEST(LogSize, IsExactToAMegabyte) {
  LogSize size = Filled(10'000, 1000);
  EXPECT_EQ(size.Bytes(), 10'000'000u);
  for (uint64_t behind : {0, 1, 500, 5000, 9999, 10'000}) {
    uint64_t told = size.BytesBehind(Index(10'100 - behind));
    EXPECT_GE(told, behind * 1000);
    EXPECT_LT(told, behind * 1000 + kMiB);
  }
}

// What is cut off counts no more, however small the entries that are left.
TEST(LogSize, OfWhatIsLeft) {
  LogSize size = Filled(100'000, 1000);
  size.CutTo(Index(100'050));
  EXPECT_GE(size.Bytes(), 50'000u);
  EXPECT_LT(size.Bytes(), 50'000u + kMiB);
  EXPECT_EQ(size.BytesBehind(Index(100'099)), size.Bytes());
  size.Add(Index(100'101), 1000);
  EXPECT_LT(size.BytesBehind(Index(100'100)), 1000u + kMiB);
}

TEST(LogSize, PlacesLeaveNoMoreThanWasAskedFor) {
  LogSize size = Filled(10'000, 1000);
  EXPECT_EQ(size.PlaceLeaving(10'000'000), Index(100));
  Index place = size.PlaceLeaving(4'000'000);
  EXPECT_GE(place, Index(6100));
  EXPECT_LT(place, Index(6100 + 1100));
  EXPECT_GT(size.PlaceLeaving(0), Index(9000));
}

TEST(LogSize, ReplacedEntriesDoNotCountTwice) {
  LogSize size = Filled(10'000, 1000);
  for (int i = 0; i < 50; ++i) {
    for (uint64_t n = 5001; n <= 10'000; ++n) size.Add(Index(100 + n), 1000);
  }
  EXPECT_GE(size.Bytes(), 10'000'000u);
  EXPECT_LT(size.Bytes(), 10'000'000u + 51 * kMiB);
  EXPECT_GE(size.BytesBehind(Index(5100)), 5'000'000u);
}

}  // namespace
}  // namespace kvd::raft
