// How large a log is, to a megabyte and without reading it: bounds what is kept of it, and tells
// what of it is not in the state yet. Pure.
#pragma once

#include <cstdint>
#include <deque>

#include "proto/ids.h"

namespace kvd::raft {

class LogSize {
 public:
  // Of an empty log that begins behind `start`.
  void Begin(Index start);
  // An entry follows, or replaces what stands at its index and all behind it.
  void Add(Index index, uint64_t bytes);
  // The log begins behind `start` from now on.
  void CutTo(Index start);

  // Of the entries behind `index`: not less than they have, and less than a megabyte more.
  uint64_t BytesBehind(Index index) const;
  // Of the whole log, likewise.
  uint64_t Bytes() const { return total_ - marks_.front().bytes; }
  // The lowest place known that leaves at most so many bytes behind it; the log's beginning if all
  // of it is that small, its last known place if there is none.
  Index PlaceLeaving(uint64_t bytes) const;

 private:
  // Where a megabyte of entries ends.
  struct Mark {
    Index index;
    uint64_t bytes;  // up to here, counted from any place
  };

  // Ascending, never empty: the first one is at or below where the log begins.
  std::deque<Mark> marks_ = {{Index(), 0}};
  uint64_t total_ = 0;
};

}  // namespace kvd::raft
