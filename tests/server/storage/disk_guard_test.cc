// When a store stops taking data in, when anything, and when it goes on.
#include "server/storage/disk_guard.h"

#include "gtest/gtest.h"
#include "raft/runtime/random.h"

namespace kvd::storage {
namespace {

using Action = DiskGuard::Action;
constexpr uint64_t kMiB = 1 << 20;
constexpr DiskMarks kMarks{1000 * kMiB, 400 * kMiB, 200 * kMiB};

Action Sample(DiskGuard& guard, uint64_t free_mb, uint64_t reserve_mb, uint64_t promised_mb = 0,
              uint64_t compactions_mb = 0) {
  return guard.Sample(
      {free_mb * kMiB, reserve_mb * kMiB, promised_mb * kMiB, {compactions_mb * kMiB, false}});
}

TEST(DiskGuard, ChoosesMarksByTheSizeOfTheDisk) {
  auto marks = [](uint64_t disk_mb) { return ChooseMarks({}, 0, disk_mb * kMiB); };
  EXPECT_EQ(marks(1 << 20).low_water_bytes, 1024 * kMiB);
  EXPECT_EQ(marks(1 << 20).reserve_bytes, 256 * kMiB);
  EXPECT_EQ(marks(10'000).low_water_bytes, 500 * kMiB);
  EXPECT_EQ(marks(10'000).reserve_bytes, 200 * kMiB);
  EXPECT_EQ(marks(1600).low_water_bytes, 128 * kMiB);
  EXPECT_EQ(marks(1600).reserve_bytes, 64 * kMiB);
  EXPECT_EQ(marks(64).low_water_bytes, 8 * kMiB);
  EXPECT_EQ(marks(64).reserve_bytes, 4 * kMiB);
  EXPECT_EQ(ChooseMarks({7, 5, 3}, 0, 64 * kMiB).low_water_bytes, 7u);
  EXPECT_EQ(ChooseMarks({7, 5, 3}, 0, 64 * kMiB).reserve_bytes, 5u);
}

TEST(DiskGuard, MarksAreNeverBelowWhatBuffersNeed) {
  uint64_t floor = FloorBytes(16 * kMiB, 10 * kMiB);
  EXPECT_EQ(floor, (3 * 16 + 3 * 10 + 2 * 11 + 8) * kMiB);
  DiskMarks marks = ChooseMarks({0, 0, floor}, 10 * kMiB, 64 * kMiB);
  EXPECT_EQ(marks.low_water_bytes, floor);
  EXPECT_EQ(marks.reserve_bytes, floor + (3 * 10 + 11) * kMiB);
  EXPECT_EQ(marks.reserve_bytes, ReserveBytesMin(floor, 10 * kMiB));
}

TEST(DiskGuard, StopsDataAtTheMarkAndGoesOnAQuarterAboveIt) {
  DiskGuard guard(kMarks);
  EXPECT_EQ(Sample(guard, 5000, 400), Action::kNone);
  EXPECT_EQ(guard.state(), DiskState::kOk);
  Sample(guard, 1000, 400);
  EXPECT_EQ(guard.state(), DiskState::kOk);
  Sample(guard, 999, 400);
  EXPECT_EQ(guard.state(), DiskState::kLow);
  EXPECT_EQ(guard.needed_bytes(), 1250 * kMiB);
  Sample(guard, 1249, 400);
  EXPECT_EQ(guard.state(), DiskState::kLow);
  Sample(guard, 1250, 400);
  EXPECT_EQ(guard.state(), DiskState::kOk);
}

TEST(DiskGuard, WhatIsPromisedIsNotThereAnyMore) {
  DiskGuard guard(kMarks);
  Sample(guard, 1300, 400, 300);
  EXPECT_EQ(guard.state(), DiskState::kOk);
  Sample(guard, 1300, 400, 301);
  EXPECT_EQ(guard.state(), DiskState::kLow);
  EXPECT_EQ(guard.needed_bytes(), 1551 * kMiB);
  EXPECT_EQ(Sample(guard, 1300, 400, 1101), Action::kReleaseReserve);
}

TEST(DiskGuard, DataIsRefusedForACompactionUnderWayAndDeletesAreNot) {
  DiskGuard guard(kMarks);
  Sample(guard, 1300, 400, 0, 300);
  EXPECT_EQ(guard.state(), DiskState::kOk);
  EXPECT_EQ(Sample(guard, 1300, 400, 0, 301), Action::kNone);
  EXPECT_EQ(guard.state(), DiskState::kLow);
  // It leaves half of the floor.
  EXPECT_EQ(Sample(guard, 1300, 0, 0, 1200), Action::kNone);
  EXPECT_EQ(guard.state(), DiskState::kLow);
  EXPECT_EQ(Sample(guard, 1300, 400, 0, 1201), Action::kReleaseReserve);
  Sample(guard, 1300, 0, 0, 1201);
  EXPECT_EQ(guard.state(), DiskState::kCritical);
}

TEST(DiskGuard, CountsWhatIsTakenInBetweenReadings) {
  DiskGuard guard(kMarks);
  Sample(guard, 1000 + 80, 400);
  EXPECT_TRUE(guard.Fits(20 * kMiB));
  EXPECT_FALSE(guard.Fits(20 * kMiB + 1));
  // Close to the mark a reading is due sooner than far above it.
  EXPECT_FALSE(guard.NoteTakenIn(3 * kMiB));
  EXPECT_TRUE(guard.Fits(17 * kMiB));
  EXPECT_FALSE(guard.Fits(17 * kMiB + 1));
  EXPECT_TRUE(guard.NoteTakenIn(1 * kMiB));
  Sample(guard, 1000 + 8, 400);
  EXPECT_TRUE(guard.NoteTakenIn(1 * kMiB));
  EXPECT_TRUE(guard.Fits(1 * kMiB));
  EXPECT_FALSE(guard.Fits(1 * kMiB + 1));
}

TEST(DiskGuard, GivesTheReserveBackNearTheEndAndMakesItAnewWhenThereIsRoom) {
  DiskGuard guard(kMarks);
  EXPECT_EQ(Sample(guard, 5000, 0), Action::kCreateReserve);
  EXPECT_EQ(Sample(guard, 200, 400), Action::kNone);
  EXPECT_EQ(Sample(guard, 199, 400), Action::kReleaseReserve);
  EXPECT_EQ(Sample(guard, 599, 0), Action::kNone);
  EXPECT_EQ(guard.state(), DiskState::kLow);
  // Room for the reserve itself is needed too.
  EXPECT_EQ(guard.needed_bytes(), 1650 * kMiB);
  EXPECT_EQ(Sample(guard, 1649, 0), Action::kNone);
  EXPECT_EQ(guard.state(), DiskState::kLow);
  EXPECT_EQ(Sample(guard, 1650, 0), Action::kCreateReserve);
  EXPECT_EQ(guard.state(), DiskState::kOk);
}

TEST(DiskGuard, IsCriticalWhileOnlyTheBuffersFit) {
  DiskGuard guard(kMarks);
  Sample(guard, 200, 0);
  EXPECT_EQ(guard.state(), DiskState::kLow);
  Sample(guard, 199, 0);
  EXPECT_EQ(guard.state(), DiskState::kCritical);
  Sample(guard, 249, 0);
  EXPECT_EQ(guard.state(), DiskState::kCritical);
  Sample(guard, 250, 0);
  EXPECT_EQ(guard.state(), DiskState::kLow);
}

TEST(DiskGuard, CompactionsLeaveRoomForTheBuffers) {
  DiskGuard guard(kMarks);
  Sample(guard, 1500, 400);
  EXPECT_EQ(guard.compaction_bytes(), 1300 * kMiB);
  Sample(guard, 300, 400);
  EXPECT_EQ(guard.compaction_bytes(), 50 * kMiB);
  Sample(guard, 99, 0);
  EXPECT_EQ(guard.compaction_bytes(), 0u);
}

TEST(DiskGuard, ADiskThatTellsNothingIsNotFull) {
  DiskGuard guard(kMarks);
  guard.Sample({~uint64_t{0}, 400 * kMiB, 5 * kMiB, {kMiB, false}});
  EXPECT_EQ(guard.state(), DiskState::kOk);
  EXPECT_TRUE(guard.Fits(16 * kMiB));
}

TEST(DiskGuard, NeverTakesDataBelowTheMarkNorRefusesItAboveWhatItAsksFor) {
  Random random(1);
  DiskGuard guard(kMarks);
  for (int i = 0; i < 100'000; ++i) {
    uint64_t free = random.Below(3000), held = random.Chance(0.5) ? 400 : 0;
    uint64_t promised = random.Chance(0.5) ? random.Below(1000) : 0;
    uint64_t compactions = random.Chance(0.3) ? random.Below(500) : 0;
    Sample(guard, free, held, promised, compactions);
    promised += compactions;
    bool takes = guard.state() == DiskState::kOk;
    ASSERT_TRUE(!takes || free + held >= 1400 + promised);
    ASSERT_TRUE(takes || free * kMiB < guard.needed_bytes());
    uint64_t bytes = random.Below(64 * kMiB);
    if (!takes || !guard.Fits(bytes)) continue;
    ASSERT_GE((free + held) * kMiB, (1400 + promised) * kMiB + kDiskBytesPerByte * bytes);
  }
}

}  // namespace
}  // namespace kvd::storage
