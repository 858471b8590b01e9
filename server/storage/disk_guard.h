// Decides from a disk's free bytes what a store may still write. Writes that add data stop well before
// the disk is full, since what was accepted has yet to be flushed and compacted; deletes and
// compactions go on, first in what is left, then in the reserve: a preallocated file whose room is
// given back when free space comes near its end. Pure.
#pragma once

#include <cstdint>

#include "proto/disk_state.h"

namespace kvd::storage {

// The machine's side of it. Thread-safe.
class Disk {
 public:
  virtual ~Disk() = default;
  // Bytes that may still be written. All ones if that can't be told.
  virtual uint64_t FreeBytes() const = 0;
  // Bytes that the reserve holds.
  virtual uint64_t ReserveBytes() const = 0;
  virtual void ReleaseReserve() = 0;
  // False if there is no room, or the file system allocates nothing ahead.
  virtual bool CreateReserve(uint64_t bytes) = 0;
};

struct DiskMarks {
  uint64_t low_water_bytes = 0;
  uint64_t reserve_bytes = 0;
};

// The marks of a disk of this size where the operator names none (0): 1 GiB and 256 MiB, but at most a
// twentieth and a fiftieth of the disk; of one below 10 GiB, not less than 128 MiB and 64 MiB, but at
// most an eighth and a sixteenth.
DiskMarks ChooseMarks(const DiskMarks& wanted, uint64_t disk_bytes);

class DiskGuard {
 public:
  explicit DiskGuard(const DiskMarks& marks) : marks_(marks) {}

  enum class Action { kNone, kReleaseReserve, kCreateReserve };
  // Takes in a reading, and says what is to be done about the reserve.
  Action Sample(uint64_t free_bytes, uint64_t reserve_bytes);

  DiskState state() const { return state_; }
  uint64_t free_bytes() const { return free_bytes_; }
  // Free bytes at which data is accepted again: above the mark by a quarter, so that the state does
  // not come and go, with room for the reserve if that was given back.
  uint64_t needed_bytes() const;
  const DiskMarks& marks() const { return marks_; }

 private:
  const DiskMarks marks_;
  DiskState state_ = DiskState::kOk;
  uint64_t free_bytes_ = ~uint64_t{0};
  uint64_t held_bytes_ = 0;
};

}  // namespace kvd::storage
