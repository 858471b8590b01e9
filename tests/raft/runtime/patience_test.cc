// What is not found is looked for less and less, and as before once it is found.
#include "raft/runtime/patience.h"

#include "gtest/gtest.h"

namespace kvd {
namespace {

int Tries(Patience& patience, int times, bool found) {
  int tries = 0;
  for (int i = 0; i < times; ++i) {
    if (!patience.Try()) continue;
    ++tries;
    patience.Found(found);
  }
  return tries;
}

TEST(PatienceTest, WhatIsFoundIsLookedForEachTime) {
  Patience patience;
  EXPECT_EQ(Tries(patience, 1000, true), 1000);
}

TEST(PatienceTest, WhatIsNeverFoundIsLookedForOnceIn64Times) {
  Patience patience;
  Tries(patience, 1000, false);
  EXPECT_EQ(Tries(patience, 64 * 10, false), 10);
}

TEST(PatienceTest, OnceFoundItIsLookedForEachTimeAgain) {
  Patience patience;
  Tries(patience, 1000, false);
  while (!patience.Try()) {
  }
  patience.Found(true);
  EXPECT_EQ(Tries(patience, 10, true), 10);
}

TEST(PatienceTest, AMissNowAndThenCostsOneTryMore) {
  Patience patience;
  int tries = 0;
  for (int i = 0; i < 1000; ++i) {
    if (!patience.Try()) continue;
    ++tries;
    patience.Found(i % 10 != 0);
  }
  EXPECT_EQ(tries, 900);
}

}  // namespace
}  // namespace kvd
