// When a store stops taking data in, when anything, and when it goes on.
#include "server/storage/disk_guard.h"

#include "gtest/gtest.h"
#include "raft/runtime/random.h"

namespace kvd::storage {
namespace {

using Action = DiskGuard::Action;
constexpr DiskMarks kMarks{1000, 400};

TEST(DiskGuard, ChoosesMarksByTheSizeOfTheDisk) {
  constexpr uint64_t kMiB = 1 << 20;
  auto marks = [](uint64_t disk) { return ChooseMarks({}, disk * kMiB); };
  EXPECT_EQ(marks(1 << 20).low_water_bytes, 1024 * kMiB);
  EXPECT_EQ(marks(1 << 20).reserve_bytes, 256 * kMiB);
  EXPECT_EQ(marks(10'000).low_water_bytes, 500 * kMiB);
  EXPECT_EQ(marks(10'000).reserve_bytes, 200 * kMiB);
  EXPECT_EQ(marks(1600).low_water_bytes, 128 * kMiB);
  EXPECT_EQ(marks(1600).reserve_bytes, 64 * kMiB);
  EXPECT_EQ(marks(64).low_water_bytes, 8 * kMiB);
  EXPECT_EQ(marks(64).reserve_bytes, 4 * kMiB);
  EXPECT_EQ(ChooseMarks({7, 5}, 64 * kMiB).low_water_bytes, 7u);
  EXPECT_EQ(ChooseMarks({7, 5}, 64 * kMiB).reserve_bytes, 5u);
}

TEST(DiskGuard, StopsDataAtTheMarkAndGoesOnAQuarterAboveIt) {
  DiskGuard guard(kMarks);
  EXPECT_EQ(guard.Sample(5000, 400), Action::kNone);
  EXPECT_EQ(guard.state(), DiskState::kOk);
  guard.Sample(1000, 400);
  EXPECT_EQ(guard.state(), DiskState::kOk);
  guard.Sample(999, 400);
  EXPECT_EQ(guard.state(), DiskState::kLow);
  EXPECT_EQ(guard.needed_bytes(), 1250u);
  guard.Sample(1249, 400);
  EXPECT_EQ(guard.state(), DiskState::kLow);
  guard.Sample(1250, 400);
  EXPECT_EQ(guard.state(), DiskState::kOk);
}

TEST(DiskGuard, GivesTheReserveBackNearTheEndAndMakesItAnewWhenThereIsRoom) {
  DiskGuard guard(kMarks);
  EXPECT_EQ(guard.Sample(5000, 0), Action::kCreateReserve);
  EXPECT_EQ(guard.Sample(250, 400), Action::kNone);
  EXPECT_EQ(guard.Sample(249, 400), Action::kReleaseReserve);
  EXPECT_EQ(guard.Sample(649, 0), Action::kNone);
  EXPECT_EQ(guard.state(), DiskState::kLow);
  // Room for the reserve itself is needed too.
  EXPECT_EQ(guard.needed_bytes(), 1650u);
  EXPECT_EQ(guard.Sample(1649, 0), Action::kNone);
  EXPECT_EQ(guard.state(), DiskState::kLow);
  EXPECT_EQ(guard.Sample(1650, 0), Action::kCreateReserve);
  EXPECT_EQ(guard.state(), DiskState::kOk);
}

TEST(DiskGuard, IsCriticalDeepInTheReserve) {
  DiskGuard guard(kMarks);
  guard.Sample(100, 0);
  EXPECT_EQ(guard.state(), DiskState::kLow);
  guard.Sample(99, 0);
  EXPECT_EQ(guard.state(), DiskState::kCritical);
  guard.Sample(199, 0);
  EXPECT_EQ(guard.state(), DiskState::kCritical);
  guard.Sample(200, 0);
  EXPECT_EQ(guard.state(), DiskState::kLow);
}

TEST(DiskGuard, ADiskThatTellsNothingIsNotFull) {
  DiskGuard guard(kMarks);
  guard.Sample(~uint64_t{0}, 400);
  EXPECT_EQ(guard.state(), DiskState::kOk);
}

TEST(DiskGuard, NeverTakesDataBelowTheMarkNorRefusesItAboveWhatItAsksFor) {
  Random random(1);
  DiskGuard guard(kMarks);
  for (int i = 0; i < 100'000; ++i) {
    uint64_t free = random.Below(3000);
    uint64_t held = random.Chance(0.5) ? 400 : 0;
    guard.Sample(free, held);
    bool takes = guard.state() == DiskState::kOk;
    ASSERT_TRUE(!takes || free + held >= 1400);
    ASSERT_TRUE(takes || free < guard.needed_bytes());
  }
}

}  // namespace
}  // namespace kvd::storage
