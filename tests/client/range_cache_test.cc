#include "client/src/range_cache.h"

#include "gtest/gtest.h"

namespace kvd::client {
namespace {

void Add(v1::LocateResponse* located, const std::string& start, const std::string& end,
         uint64_t group, const std::string& leader = "") {
  auto* shard = located->add_shards();
  shard->set_start(start);
  shard->set_end(end);
  shard->set_group_id(group);
  shard->set_leader_address(leader);
}

TEST(RangeCache, KnowsWhatItWasTold) {
  RangeCache cache;
  EXPECT_EQ(cache.GroupOf("a"), GroupId());
  v1::LocateResponse located;
  Add(&located, "c", "f", 2, "one:1");
  Add(&located, "f", "", 3);
  cache.Take(located);
  EXPECT_EQ(cache.GroupOf("b"), GroupId());
  EXPECT_EQ(cache.GroupOf("c"), GroupId(2));
  EXPECT_EQ(cache.GroupOf("ezz"), GroupId(2));
  EXPECT_EQ(cache.GroupOf("f"), GroupId(3));
  EXPECT_EQ(cache.GroupOf("zzz"), GroupId(3));
  EXPECT_EQ(cache.LeaderOf(GroupId(2)), "one:1");
  EXPECT_EQ(cache.LeaderOf(GroupId(3)), "");
}

// Splits, merges and moves: what is newer replaces all that it overlaps.
TEST(RangeCache, WhatOverlapsIsReplaced) {
  RangeCache cache;
  v1::LocateResponse all;
  Add(&all, "", "", 2);
  cache.Take(all);
  v1::LocateResponse split;
  Add(&split, "m", "p", 3);
  cache.Take(split);
  EXPECT_EQ(cache.GroupOf("a"), GroupId()) << "how far that one went is not known any more";
  EXPECT_EQ(cache.GroupOf("n"), GroupId(3));
  v1::LocateResponse more;
  Add(&more, "", "c", 4);
  Add(&more, "c", "n", 5);
  cache.Take(more);
  EXPECT_EQ(cache.GroupOf("m"), GroupId(5));
  EXPECT_EQ(cache.GroupOf("n"), GroupId());
  cache.Take(all);
  EXPECT_EQ(cache.size(), 1u);
  cache.Forget("x");
  EXPECT_EQ(cache.size(), 0u);
}

TEST(RangeCache, LeadersAreWhoAnswered) {
  RangeCache cache;
  v1::LocateResponse located;
  Add(&located, "", "m", 2, "one:1");
  Add(&located, "m", "", 3, "one:1");
  cache.Take(located);
  cache.NoteLeader(GroupId(2), "two:1");
  cache.Take(located);
  EXPECT_EQ(cache.LeaderOf(GroupId(2)), "two:1") << "hearsay counts less";
  cache.NoteNotLeader(GroupId(3), "two:1");
  EXPECT_EQ(cache.LeaderOf(GroupId(3)), "one:1");
  cache.NoteLost("two:1");
  EXPECT_EQ(cache.LeaderOf(GroupId(2)), "");
  EXPECT_EQ(cache.LeaderOf(GroupId(3)), "one:1");
}

TEST(RangeCache, NonsenseIsNotTaken) {
  RangeCache cache;
  v1::LocateResponse located;
  Add(&located, "m", "a", 2);
  Add(&located, "x", "y", 0);
  cache.Take(located);
  EXPECT_EQ(cache.size(), 0u);
}

TEST(RangeCache, IsBounded) {
  RangeCache cache;
  for (int i = 0; i < 50'000; ++i) {
    v1::LocateResponse located;
    std::string start = std::to_string(100'000 + 2 * i), end = std::to_string(100'001 + 2 * i);
    Add(&located, start, end, 2);
    cache.Take(located);
    EXPECT_EQ(cache.GroupOf(start), GroupId(2));
  }
  EXPECT_LE(cache.size(), RangeCache::kRangesMax);
}

}  // namespace
}  // namespace kvd::client
