// The side file of the log store: two checksummed slots, written in turn, holding the number of the
// last batch that was synced. The file itself is not synced: after a crash of the machine it may be
// behind, never ahead, which only makes the check weaker.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace kvd::raft {

class SyncMark {
 public:
  static absl::StatusOr<std::unique_ptr<SyncMark>> Open(const std::string& path);
  ~SyncMark();

  // 0 if nothing was noted yet.
  uint64_t value() const { return value_; }
  void Note(uint64_t value);

 private:
  SyncMark(char* slots, uint64_t value) : slots_(slots), value_(value) {}

  char* const slots_;  // the file, mapped
  uint64_t value_;
  size_t slot_ = 0;
};

}  // namespace kvd::raft
