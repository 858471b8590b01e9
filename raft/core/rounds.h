// When a leader's new commands leave. A sync and a message cost nearly the same for one command as
// for a hundred, on every replica: commands leave in rounds, and one with nothing before it leaves
// at once.
//
// - While a round is under way, what comes in waits for its end.
// - Who was answered by a round is likely to ask again. So when a round of some commands ends while
// the next
//   ones wait, these wait for those answered to join them, for a short time: else two crowds of
//   callers alternate for ever, each with its own syncs (group commit's delay; DeWitt et al. 1984,
//   section 3).
//
// Pure bookkeeping of the core's leader: not thread-safe.
#pragma once

#include <cstddef>

#include "proto/ids.h"
#include "raft/runtime/time.h"

namespace kvd::raft {

struct RoundOptions {
  size_t bytes_max = 0;  // so much does not wait; 0: nothing waits
  Duration commit_wait_max =
      milliseconds(2);                    // for a quorum; the own write is waited for in any case
  Duration gather_max = milliseconds(1);  // for those just answered; 0: they are not waited for
  size_t gather_commands_min = 4;         // behind a round of fewer commands nobody waits,
  size_t gather_commands_max = 64;        // nor behind one of so many, which is cheap as it is
};

class Rounds {
 public:
  explicit Rounds(const RoundOptions& options) : options_(options) {}

  // An office begins: all of the log up to `last` may leave.
  void Restart(Index last);

  // An entry was appended that is awaited by the protocol itself, or a command.
  void Appended(size_t bytes, bool command);

  // All up to `commit` is committed, the log ends at `last`.
  void Committed(Index commit, Index last, MonotonicTime now);

  // Whether what was appended since the last round waits, with the own log on disk up to `stable`.
  bool Hold(Index last, Index stable, Index commit, MonotonicTime now) const;

  // When it stops waiting for others at the latest; the far past if it does not wait for them.
  MonotonicTime gather_end() const { return gather_end_; }

  // Everything up to `last` leaves.
  void Release(Index last, MonotonicTime now);

  // The last entry that has left or may leave.
  Index released() const { return released_; }

 private:
  RoundOptions options_;
  Index released_;
  MonotonicTime released_at_ = kLongAgo;
  size_t held_bytes_ = 0;  // appended since
  uint64_t commands_ = 0;  // of the last round
  MonotonicTime gather_end_ = kLongAgo;
  Index gather_until_;  // the log's end that is waited for until then
};

}  // namespace kvd::raft
