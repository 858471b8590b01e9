// What a group knows of its shards' load, and where it would part them.
#include "server/shard/shard_load.h"

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace kvd::shard {
namespace {

constexpr ShardId kShard{7};

MonotonicTime At(int seconds) { return MonotonicTime(std::chrono::seconds(seconds)); }

std::string KeyOf(int i) { return absl::StrCat("k", 1000 + i); }

TEST(ShardLoad, RatesAreThoseOfTheLastSeconds) {
  ShardLoad load(1);
  load.Roll(At(100));
  for (int second = 1; second <= 20; ++second) {
    EXPECT_EQ(load.Ripe(kShard), second > 3);
    for (int i = 0; i < 300; ++i) load.NoteRead(kShard, KeyOf(i));
    for (int i = 0; i < 100; ++i) load.NoteWrite(kShard, KeyOf(i), 10);
    load.Roll(At(100 + second));
  }
  EXPECT_NEAR(load.Stats(kShard).reads, 300, 1);
  EXPECT_NEAR(load.Stats(kShard).writes, 100, 1);
  for (int second = 1; second <= 20; ++second) load.Roll(At(120 + second));
  EXPECT_LT(load.Stats(kShard).load(), 5);
  EXPECT_TRUE(load.Split(kShard).key.empty()) << "what was asked then is no longer so";
}

TEST(ShardLoad, ASizeCountsWhatWasWrittenSince) {
  ShardLoad load(1);
  EXPECT_TRUE(load.NeedsMeasuring(kShard, At(1)));
  load.NoteBytes(kShard, 64 << 20, At(1));
  EXPECT_FALSE(load.NeedsMeasuring(kShard, At(2)));
  for (int i = 0; i < 7; ++i) load.NoteWrite(kShard, KeyOf(i), 1 << 20);
  EXPECT_FALSE(load.NeedsMeasuring(kShard, At(2)));
  EXPECT_EQ(load.Stats(kShard).bytes, 71u << 20);
  for (int i = 0; i < 7; ++i) load.NoteWrite(kShard, KeyOf(i), 1 << 20);
  EXPECT_TRUE(load.NeedsMeasuring(kShard, At(2)));
  load.NoteBytes(kShard, 80 << 20, At(3));
  load.NoteWrite(kShard, "k", 1);
  EXPECT_FALSE(load.NeedsMeasuring(kShard, At(60)));
  EXPECT_TRUE(load.NeedsMeasuring(kShard, At(64))) << "little was written, long ago";
  load.Forget(kShard);
  EXPECT_FALSE(load.Stats(kShard).measured);
}

TEST(ShardLoad, SplitsWhereTheLoadHalves) {
  std::vector<std::string> even;
  for (int i = 0; i < 100; ++i) even.push_back(KeyOf(i));
  LoadSplit split = SplitByLoad(even);
  EXPECT_EQ(split.key, KeyOf(50));
  EXPECT_TRUE(split.hot_key.empty());
  EXPECT_TRUE(SplitByLoad({even.begin(), even.begin() + 10}).key.empty()) << "too few to tell";

  // Most of it at the end: the key parts the load, not the keys.
  std::vector<std::string> skewed = even;
  for (int i = 0; i < 300; ++i) skewed.push_back(KeyOf(90 + i % 10));
  EXPECT_GE(SplitByLoad(skewed).key, KeyOf(92));
}

TEST(ShardLoad, AHotKeyIsNotSplitForEver) {
  std::vector<std::string> samples(70, "hot");
  for (int i = 0; i < 30; ++i) samples.push_back(KeyOf(i));
  LoadSplit split = SplitByLoad(samples);
  EXPECT_TRUE(split.key.empty());
  EXPECT_EQ(split.hot_key, "hot");
  EXPECT_EQ(split.hot_percent, 70u);
}

// What is asked in turns must not hide which keys there are.
TEST(ShardLoad, APatternInTimeDoesNotHideKeys) {
  ShardLoad load(3);
  load.Roll(At(1));
  for (int second = 2; second < 10; ++second) {
    for (int i = 0; i < 200; ++i) load.NoteRead(kShard, i % 8 == 7 ? "m" : KeyOf(i % 100));
    load.Roll(At(second));
  }
  LoadSplit split = load.Split(kShard);
  EXPECT_TRUE(split.hot_key.empty()) << split.hot_key << " " << split.hot_percent;
}

}  // namespace
}  // namespace kvd::shard
