#include "server/shard/group_clock.h"

#include "gtest/gtest.h"

namespace kvd::shard {
namespace {

TEST(GroupClock, FollowsTheMedianAndNeverFalls) {
  GroupClock clock;
  MonotonicTime now{};
  EXPECT_EQ(clock.Millis(1000, now), 1000u);
  EXPECT_EQ(clock.Millis(1500, now + milliseconds(500)), 1500u);
  EXPECT_EQ(clock.Millis(900, now + milliseconds(600)), 1500u);
  EXPECT_EQ(clock.Millis(1600, now + milliseconds(700)), 1600u);
}

TEST(GroupClock, AJumpOfOverAMinuteIsTakenAtTwiceRealTime) {
  GroupClock clock;
  MonotonicTime now{};
  clock.Millis(1'000'000, now);
  EXPECT_EQ(clock.Millis(9'000'000, now + milliseconds(1000)), 1'002'000u);
  EXPECT_EQ(clock.Millis(9'001'000, now + milliseconds(2000)), 1'004'000u);
  clock.Restart();
  EXPECT_EQ(clock.Millis(9'002'000, now + milliseconds(3000)), 9'002'000u);
}

}  // namespace
}  // namespace kvd::shard
