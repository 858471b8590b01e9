// The side file of the log store, beside its database: after each sync, and before acknowledging,
// it notes the last synced batch number and the records of the groups that were written. Each thing
// has two checksummed cells, written in turn, so that a torn one leaves the other:
//
//   mark cell (512 B, twice)         length, crc32c, batch number
//   group cell (1 KiB, two a group)  length, crc32c, group id, record
//
// The file is not synced: after a crash of the machine it may be behind, never ahead, which only
// makes the checks against it weaker. Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "raft/log_codec.h"

namespace kvd::raft {

class SideFile {
 public:
  static absl::StatusOr<std::unique_ptr<SideFile>> Open(const std::string& path);
  ~SideFile();

  // Of the last synced batch; none if nothing was noted yet, or what was is damaged.
  std::optional<uint64_t> batch() const { return batch_; }
  const std::map<GroupId, GroupRecord>& records() const { return records_; }

  // A record too large for its cell is left out: without one, damage costs the whole replica.
  void NoteGroup(GroupId group, const GroupRecord& record);
  // After the groups: what it covers.
  void NoteBatch(uint64_t batch);
  // Makes the file and its name durable: once, so that its absence means damage.
  absl::Status Sync();

 private:
  SideFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  absl::Status MapCells(size_t groups);
  void Read();
  void WriteCell(char* cell, size_t cell_bytes, std::string_view payload);
  char* GroupCell(size_t slot, int which) const;

  const int fd_;
  const std::string path_;
  char* cells_ =
      nullptr;  // the file, mapped: no system call a sync, and what a killed process wrote stays
  size_t mapped_bytes_ = 0;
  std::optional<uint64_t> batch_;
  int next_mark_ = 0;
  struct Slot {
    size_t number;
    int next;  // cell
  };
  std::map<GroupId, Slot> slots_;
  std::map<GroupId, GroupRecord> records_;
};

}  // namespace kvd::raft
