// When a leader's commands leave: raft/core/rounds.h.
#include "raft/core/rounds.h"

#include <gtest/gtest.h>

namespace kvd::raft {
namespace {

class RoundsTest : public testing::Test {
 protected:
  static RoundOptions Options() {
    RoundOptions options;
    options.bytes_max = 1000;
    return options;
  }

  // Commands of ten bytes each.
  void Append(int commands) {
    for (int i = 0; i < commands; ++i) rounds_.Appended(10, /*command=*/true);
    last_ = last_ + static_cast<uint64_t>(commands);
  }
  void Release() { rounds_.Release(last_, now_); }
  // The round under way is on disk here and on a quorum.
  void Commit() {
    commit_ = rounds_.released();
    rounds_.Committed(commit_, last_, now_);
  }
  bool Holds() const { return rounds_.Hold(last_, /*stable=*/commit_, commit_, now_); }

  Rounds rounds_{Options()};
  Index last_, commit_;
  MonotonicTime now_{std::chrono::hours(1)};
};

TEST_F(RoundsTest, ACommandWithNothingUnderWayLeavesAtOnce) {
  Append(1);
  EXPECT_FALSE(Holds());
  Release();
  Commit();
  Append(1);
  EXPECT_FALSE(Holds()) << "nobody waits behind a round of one";
}

TEST_F(RoundsTest, WhatComesInDuringARoundWaitsForItsEnd) {
  Append(1);
  Release();
  Append(1);
  EXPECT_TRUE(Holds());
  Commit();
  EXPECT_FALSE(Holds());
}

TEST_F(RoundsTest, AQuorumIsNotWaitedForLongerThanTheBound) {
  Append(1);
  Release();
  Append(1);
  EXPECT_TRUE(rounds_.Hold(last_, /*stable=*/rounds_.released(), commit_, now_));
  now_ += Options().commit_wait_max;
  EXPECT_FALSE(rounds_.Hold(last_, /*stable=*/rounds_.released(), commit_, now_));
  EXPECT_TRUE(rounds_.Hold(last_, /*stable=*/commit_, commit_, now_)) << "the own write is";
}

TEST_F(RoundsTest, ThoseJustAnsweredAreWaitedFor) {
  Append(8);
  Release();
  Append(3);
  Commit();
  EXPECT_EQ(rounds_.gather_end(), now_ + Options().gather_max);
  EXPECT_TRUE(Holds());
  Append(5);
  EXPECT_TRUE(Holds()) << "five of eight are back";
  Append(1);
  EXPECT_FALSE(Holds()) << "most of them are";
}

TEST_F(RoundsTest, ThoseWhoDoNotComeBackAreNotWaitedForLong) {
  Append(8);
  Release();
  Append(3);
  Commit();
  EXPECT_TRUE(Holds());
  now_ += Options().gather_max;
  EXPECT_FALSE(Holds());
}

TEST_F(RoundsTest, NobodyWaitsBehindALargeRoundOrWithoutOthers) {
  Append(8);
  Release();
  Commit();
  Append(1);
  EXPECT_FALSE(Holds()) << "nothing waited when it ended";
  Append(64);
  Release();
  Append(1);
  Commit();
  EXPECT_FALSE(Holds()) << "it was of many";
}

TEST_F(RoundsTest, ManyBytesAndWhatTheProtocolAwaitsDoNotWait) {
  Append(8);
  Release();
  Append(99);
  EXPECT_TRUE(Holds());
  Append(1);
  EXPECT_FALSE(Holds());
  Release();
  rounds_.Appended(10, /*command=*/false);
  last_ = last_ + 1;
  EXPECT_FALSE(Holds());
}

}  // namespace
}  // namespace kvd::raft
