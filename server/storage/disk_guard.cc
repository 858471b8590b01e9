#include "server/storage/disk_guard.h"

#include <algorithm>

namespace kvd::storage {
namespace {

// a + b, or the largest number.
uint64_t Sum(uint64_t a, uint64_t b) { return a > ~uint64_t{0} - b ? ~uint64_t{0} : a + b; }

uint64_t Choose(uint64_t wanted, uint64_t most, uint64_t part, uint64_t least, uint64_t most_of_small) {
  if (wanted != 0) return wanted;
  return std::min(most, std::max(part, std::min(least, most_of_small)));
}

}  // namespace

DiskMarks ChooseMarks(const DiskMarks& wanted, uint64_t disk_bytes) {
  constexpr uint64_t kMiB = 1 << 20;
  DiskMarks marks;
  marks.low_water_bytes = Choose(wanted.low_water_bytes, 1024 * kMiB, disk_bytes / 20, 128 * kMiB,
                                 disk_bytes / 8);
  marks.reserve_bytes =
      Choose(wanted.reserve_bytes, 256 * kMiB, disk_bytes / 50, 64 * kMiB, disk_bytes / 16);
  return marks;
}

uint64_t DiskGuard::needed_bytes() const {
  uint64_t missing = marks_.reserve_bytes - std::min(marks_.reserve_bytes, held_bytes_);
  return marks_.low_water_bytes + marks_.low_water_bytes / 4 + missing;
}

DiskGuard::Action DiskGuard::Sample(uint64_t free_bytes, uint64_t reserve_bytes) {
  free_bytes_ = free_bytes;
  held_bytes_ = reserve_bytes;
  uint64_t room = Sum(free_bytes, reserve_bytes);
  uint64_t beyond = room - std::min(room, marks_.reserve_bytes);
  uint64_t mark = marks_.low_water_bytes;
  if (state_ != DiskState::kOk) mark += marks_.low_water_bytes / 4;
  uint64_t deep = state_ == DiskState::kCritical ? marks_.reserve_bytes / 2 : marks_.reserve_bytes / 4;
  state_ = beyond >= mark ? DiskState::kOk : room < deep ? DiskState::kCritical : DiskState::kLow;
  if (state_ == DiskState::kOk) {
    return reserve_bytes < marks_.reserve_bytes ? Action::kCreateReserve : Action::kNone;
  }
  bool near_end = free_bytes < marks_.low_water_bytes / 4;
  return near_end && reserve_bytes != 0 ? Action::kReleaseReserve : Action::kNone;
}

}  // namespace kvd::storage
