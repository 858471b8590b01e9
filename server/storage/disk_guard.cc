#include "server/storage/disk_guard.h"

#include <algorithm>

#include "proto/check.h"

namespace kvd::storage {
namespace {

constexpr uint64_t kMiB = 1 << 20;
// The MANIFESTs, the databases' own logs, the side files.
constexpr uint64_t kSmallFilesBytes = 8 * kMiB;
// Between two readings.
constexpr uint64_t kTakenInMin = 64 << 10;
constexpr uint64_t kTakenInMax = 4 * kMiB;

// a + b, or the largest number.
uint64_t Sum(uint64_t a, uint64_t b) { return a > ~uint64_t{0} - b ? ~uint64_t{0} : a + b; }
// a - b, or 0.
uint64_t Less(uint64_t a, uint64_t b) { return a - std::min(a, b); }

uint64_t Choose(uint64_t wanted, uint64_t most, uint64_t part, uint64_t least,
                uint64_t most_of_small) {
  if (wanted != 0) return wanted;
  return std::min(most, std::max(part, std::min(least, most_of_small)));
}

// A log file is allocated a tenth beyond its buffer.
uint64_t LogFileBytes(uint64_t log_buffer_bytes) {
  return log_buffer_bytes + log_buffer_bytes / 10;
}

}  // namespace

uint64_t FloorBytes(uint64_t write_buffer_bytes, uint64_t log_buffer_bytes) {
  return 3 * write_buffer_bytes + 3 * log_buffer_bytes + 2 * LogFileBytes(log_buffer_bytes) +
         kSmallFilesBytes;
}

uint64_t ReserveBytesMin(uint64_t floor_bytes, uint64_t log_buffer_bytes) {
  return floor_bytes + 3 * log_buffer_bytes + LogFileBytes(log_buffer_bytes);
}

DiskMarks ChooseMarks(const DiskMarks& wanted, uint64_t log_buffer_bytes, uint64_t disk_bytes) {
  DiskMarks marks = wanted;
  marks.low_water_bytes =
      Choose(wanted.low_water_bytes, 1024 * kMiB, disk_bytes / 20, 128 * kMiB, disk_bytes / 8);
  marks.reserve_bytes =
      Choose(wanted.reserve_bytes, 256 * kMiB, disk_bytes / 50, 64 * kMiB, disk_bytes / 16);
  marks.low_water_bytes = std::max(marks.low_water_bytes, marks.floor_bytes);
  marks.reserve_bytes =
      std::max(marks.reserve_bytes, ReserveBytesMin(marks.floor_bytes, log_buffer_bytes));
  return marks;
}

uint64_t DiskGuard::needed_bytes() const {
  uint64_t missing = Less(marks_.reserve_bytes, reading_.reserve_bytes);
  return marks_.low_water_bytes + marks_.low_water_bytes / 4 + missing + promised_bytes();
}

DiskGuard::Action DiskGuard::Sample(const DiskReading& reading) {
  reading_ = reading;
  taken_in_bytes_ = 0;
  uint64_t held = reading.reserve_bytes;
  uint64_t beyond = Less(RoomIn(Sum(reading.free_bytes, held)), marks_.reserve_bytes);
  uint64_t mark = marks_.low_water_bytes;
  if (state_ != DiskState::kOk) mark += marks_.low_water_bytes / 4;
  uint64_t floor = marks_.floor_bytes;
  if (state_ == DiskState::kCritical) floor += marks_.floor_bytes / 4;
  uint64_t above = AboveFloor(Sum(reading.free_bytes, held), floor);
  state_ = beyond >= mark ? DiskState::kOk : above == 0 ? DiskState::kCritical : DiskState::kLow;
  if (state_ == DiskState::kOk) {
    spare_bytes_ = beyond - marks_.low_water_bytes;
    return held < marks_.reserve_bytes ? Action::kCreateReserve : Action::kNone;
  }
  spare_bytes_ = above;
  bool near_end = AboveFloor(reading.free_bytes, marks_.floor_bytes) == 0;
  return near_end && held != 0 ? Action::kReleaseReserve : Action::kNone;
}

uint64_t DiskGuard::RoomIn(uint64_t bytes) const { return Less(bytes, promised_bytes()); }

// Compactions are let begin if they leave half of the floor (and may come to less than they
// promise): while they run, that is enough for deletes to go on.
uint64_t DiskGuard::AboveFloor(uint64_t bytes, uint64_t floor) const {
  return std::min(Less(Sum(Less(bytes, reading_.promised_bytes), 1), floor),
                  Less(Sum(RoomIn(bytes), 1), floor / 2));
}

bool DiskGuard::NoteTakenIn(uint64_t bytes) {
  taken_in_bytes_ += bytes;
  return taken_in_bytes_ >=
         std::clamp(spare_bytes_ / (2 * kDiskBytesPerByte), kTakenInMin, kTakenInMax);
}

bool DiskGuard::Fits(uint64_t bytes) const {
  KVD_CHECK(state_ == DiskState::kOk);
  return spare_bytes_ / kDiskBytesPerByte >= Sum(taken_in_bytes_, bytes);
}

uint64_t DiskGuard::compaction_bytes() const {
  // Short of room, the buffers are kept small: half of the floor is enough for them, if deletes
  // have ended.
  uint64_t floor = marks_.floor_bytes;
  uint64_t left = state_ == DiskState::kOk    ? floor
                  : state_ == DiskState::kLow ? floor + floor / 4
                                              : floor / 2;
  return Less(reading_.free_bytes, left);
}

}  // namespace kvd::storage
