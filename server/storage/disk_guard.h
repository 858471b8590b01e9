// Decides from a disk's free bytes what a store may still write. Writes that add data stop well
// before the disk is full, since what was accepted has yet to be flushed and compacted; deletes and
// compactions go on, first in what is left, then in the reserve: a preallocated file whose room is
// given back when free space comes near its end. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "proto/disk_state.h"

namespace kvd::storage {

// Of a byte that was accepted and is not in the state yet: once in the Raft log as it is synced,
// once in that log's sorted files, once in the state's, and a fourth time for what stands around
// it.
inline constexpr uint64_t kDiskBytesPerByte = 4;

struct CompactionLoad {
  // What those under way, or overdue, have yet to write, at most.
  uint64_t bytes = 0;
  // They do not keep up with what is written.
  bool lags = false;
};

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
  // What compactions have before them.
  virtual CompactionLoad Compactions() const { return {}; }
  // From now on a compaction begins only if what it writes, and what those under way do, fits in so
  // many bytes.
  virtual void LimitCompactions(uint64_t /*bytes*/) {}
};

struct DiskMarks {
  uint64_t low_water_bytes = 0;
  uint64_t reserve_bytes = 0;
  // What unflushed buffers may have yet to write: nothing is taken in once no more than this is
  // left.
  uint64_t floor_bytes = 0;
};

// What a store may have to write that it has accepted already: three write buffers of the state,
// three of the log, two files of it allocated ahead, and small files.
uint64_t FloorBytes(uint64_t write_buffer_bytes, uint64_t log_buffer_bytes);
// Given back on a full disk, the reserve must hold the floor and what opening the log writes.
uint64_t ReserveBytesMin(uint64_t floor_bytes, uint64_t log_buffer_bytes);

// The marks of a disk of this size where the operator names none (0): 1 GiB and 256 MiB, but at
// most a twentieth and a fiftieth of the disk; of one below 10 GiB, not less than 128 MiB and 64
// MiB, but at most an eighth and a sixteenth; never less than the buffers need.
DiskMarks ChooseMarks(const DiskMarks& wanted, uint64_t log_buffer_bytes, uint64_t disk_bytes);

struct DiskReading {
  uint64_t free_bytes = 0;
  uint64_t reserve_bytes = 0;
  // That will go although nothing more is accepted: for commands that are not in the state yet.
  uint64_t promised_bytes = 0;
  CompactionLoad compactions;
};

class DiskGuard {
 public:
  explicit DiskGuard(const DiskMarks& marks) : marks_(marks) {}

  enum class Action { kNone, kReleaseReserve, kCreateReserve };
  // Takes in a reading, and says what is to be done about the reserve.
  Action Sample(const DiskReading& reading);

  // Counts what was accepted since the reading. True: so much that another one is due.
  bool NoteTakenIn(uint64_t bytes);
  // Whether so many bytes of data can be accepted. Requires: state() == kOk.
  bool Fits(uint64_t bytes) const;

  DiskState state() const { return state_; }
  uint64_t free_bytes() const { return reading_.free_bytes; }
  // For commands and compactions.
  uint64_t promised_bytes() const { return reading_.promised_bytes + reading_.compactions.bytes; }
  // Data has to wait for compactions.
  bool compactions_lag() const { return reading_.compactions.lags; }
  // Free bytes at which data is accepted again: above the mark by a quarter, so that the state does
  // not come and go, with room for the reserve if that was given back, and for what is promised.
  uint64_t needed_bytes() const;
  // What compactions may write: in the end they are what makes room.
  uint64_t compaction_bytes() const;
  const DiskMarks& marks() const { return marks_; }

 private:
  uint64_t RoomIn(uint64_t bytes) const;
  uint64_t AboveFloor(uint64_t bytes, uint64_t floor) const;

  const DiskMarks marks_;
  DiskState state_ = DiskState::kOk;
  DiskReading reading_{~uint64_t{0}, 0, 0, {}};
  uint64_t spare_bytes_ = ~uint64_t{0};  // until the state gets worse, as of the reading
  uint64_t taken_in_bytes_ = 0;          // since
};

}  // namespace kvd::storage
