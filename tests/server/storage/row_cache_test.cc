// The row cache by itself: what it gives, its order, and its bound.
#include "server/storage/row_cache.h"

#include <map>

#include "gtest/gtest.h"
#include "raft/runtime/random.h"

namespace kvd::storage {
namespace {

constexpr size_t kPlenty = 1 << 20;

std::string BytesOf(RowCache& cache, std::string_view key, uint64_t at) {
  const RowCache::Row* row = cache.Find(key, Timestamp(at));
  return row == nullptr ? "-" : row->bytes;
}

TEST(RowCache, GivesARowToReadersThatAreNotOlder) {
  RowCache cache(kPlenty, kPlenty);
  EXPECT_EQ(BytesOf(cache, "k", 9), "-");
  cache.Insert("k", Timestamp(5), "five");
  EXPECT_EQ(BytesOf(cache, "k", 4), "-");
  EXPECT_EQ(BytesOf(cache, "k", 5), "five");
  EXPECT_EQ(BytesOf(cache, "k", 9), "five");
  EXPECT_EQ(BytesOf(cache, "kk", 9), "-");
  EXPECT_EQ(cache.hits(), 2u);
  EXPECT_EQ(cache.misses(), 3u);
}

TEST(RowCache, AWriteReplacesWhatIsThereAndAddsNothing) {
  RowCache cache(kPlenty, kPlenty);
  cache.Replace("k", Timestamp(5), "five");
  EXPECT_EQ(BytesOf(cache, "k", 9), "-");
  cache.Insert("k", Timestamp(5), "five");
  cache.Insert("other", Timestamp(5), "five");
  cache.Replace("k", Timestamp(7), "seven");
  EXPECT_EQ(BytesOf(cache, "k", 6), "-");
  EXPECT_EQ(BytesOf(cache, "k", 7), "seven");
  EXPECT_EQ(BytesOf(cache, "other", 7), "five");
  cache.Replace("k", Timestamp(8), std::string(kPlenty, 'x'));
  EXPECT_EQ(BytesOf(cache, "k", 9), "-") << "the new one is too large";
}

TEST(RowCache, WhoeverWasReadLongestAgoGoesFirst) {
  RowCache sized(kPlenty, kPlenty);
  for (const char* key : {"a", "b", "c"}) sized.Insert(key, Timestamp(1), "v");
  RowCache cache(sized.bytes(), kPlenty);
  for (const char* key : {"a", "b", "c"}) cache.Insert(key, Timestamp(1), "v");
  EXPECT_EQ(BytesOf(cache, "a", 1), "v");
  cache.Replace("b", Timestamp(2), "w");  // being written keeps no row
  cache.Insert("d", Timestamp(1), "v");
  EXPECT_EQ(BytesOf(cache, "b", 2), "-");
  for (const char* key : {"a", "d"}) EXPECT_EQ(BytesOf(cache, key, 2), "v") << key;
  // A write that takes more makes others go, or its own row.
  cache.Replace("a", Timestamp(3), std::string(300, 'x'));
  EXPECT_LE(cache.bytes(), sized.bytes());
  EXPECT_LT(cache.rows().size(), 3u);
}

TEST(RowCache, KeepsNothingThatIsTooLargeAndNothingAtAllWithoutRoom) {
  RowCache cache(kPlenty, 1000);
  cache.Insert("small", Timestamp(1), std::string(700, 'x'));
  cache.Insert("large", Timestamp(1), std::string(1000, 'x'));
  cache.Insert(std::string(1000, 'k'), Timestamp(1), "v");
  EXPECT_EQ(cache.rows().size(), 1u);
  RowCache none(0, kPlenty);
  none.Insert("k", Timestamp(1), "v");
  EXPECT_EQ(BytesOf(none, "k", 1), "-");
  EXPECT_EQ(none.bytes(), 0u);
  EXPECT_EQ(none.misses(), 0u);
}

TEST(RowCache, StaysWithinItsBoundAndIsRight) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Random random(seed);
    size_t bound = random.Between(0, 20'000);
    RowCache cache(bound, bound / 4);
    std::map<std::string, std::pair<uint64_t, std::string>> newest;
    for (uint64_t now = 1; now <= 2000; ++now) {
      std::string key =
          "key" + std::to_string(random.Below(200)) + std::string(random.Below(30), 'k');
      if (random.Chance(0.3)) {
        newest[key] = {now, std::string(random.Below(300), static_cast<char>('a' + now % 26))};
        cache.Replace(key, Timestamp(now), newest[key].second);
      } else if (const RowCache::Row* row = cache.Find(key, Timestamp(now))) {
        ASSERT_EQ(row->bytes, newest[key].second);
        ASSERT_EQ(row->timestamp, Timestamp(newest[key].first));
      } else if (auto it = newest.find(key); it != newest.end()) {
        cache.Insert(key, Timestamp(it->second.first), it->second.second);
      }
      if (random.Chance(0.002)) cache.Clear();
      ASSERT_LE(cache.bytes(), bound);
    }
  }
}

TEST(RowCache, ClearGivesAllMemoryBack) {
  RowCache cache(kPlenty, kPlenty);
  for (int i = 0; i < 1000; ++i) cache.Insert(std::to_string(i), Timestamp(1), "v");
  EXPECT_GT(cache.bytes(), 100'000u);
  cache.Clear();
  EXPECT_EQ(cache.bytes(), 0u);
  EXPECT_EQ(BytesOf(cache, "7", 9), "-");
  cache.Insert("7", Timestamp(1), "v");
  EXPECT_EQ(BytesOf(cache, "7", 9), "v");
}

}  // namespace
}  // namespace kvd::storage
