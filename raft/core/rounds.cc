#include "raft/core/rounds.h"

namespace kvd::raft {

void Rounds::Restart(Index last) {
  released_ = last;
  held_bytes_ = 0;
  commands_ = 0;
  gather_end_ = kLongAgo;
}

void Rounds::Appended(size_t bytes, bool command) {
  held_bytes_ += bytes;
  if (!command) held_bytes_ += options_.bytes_max;
}

void Rounds::Committed(Index commit, Index last, MonotonicTime now) {
  bool ends = commit >= released_ && commands_ >= options_.gather_commands_min &&
              commands_ < options_.gather_commands_max;
  // Most of those that were answered, not all: one that is done would hold up the others.
  if (ends && last > released_) {
    gather_end_ = now + options_.gather_max;
    gather_until_ = last + commands_ * 3 / 4;
  }
}

bool Rounds::Hold(Index last, Index stable, Index commit, MonotonicTime now) const {
  if (held_bytes_ >= options_.bytes_max) return false;
  if (stable < released_) return true;
  if (commit < released_) return now < released_at_ + options_.commit_wait_max;
  return last < gather_until_ && now < gather_end_;
}

void Rounds::Release(Index last, MonotonicTime now) {
  if (released_ != last) {
    commands_ = last - released_;
    released_at_ = now;
    gather_end_ = kLongAgo;
  }
  released_ = last;
  held_bytes_ = 0;
}

}  // namespace kvd::raft
