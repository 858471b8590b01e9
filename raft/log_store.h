// Where the logs of all groups of a store are kept. One write covers all groups of a loop turn and
// costs one sync. Owned by a store; of one group, calls come from one loop.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "raft/core/log.h"
#include "raft/core/types.h"
#include "raft/runtime/loop.h"

namespace kvd::raft {

// Everything a log store knows of one group.
struct GroupLog {
  GroupId group;
  ReplicaId replica;
  HardState hard_state;
  SnapshotMeta start;  // the log begins behind it
  // Up to the last one that was acknowledged, without a gap: kDamaged where what was written last
  // can't be read. Of damaged ones at least the highest has its term.
  std::vector<EntryPtr> entries;
  // What stands at damaged places all the same, rising by index.
  std::vector<Suspect> suspects;
  // The replica was removed from its group; it never votes again.
  bool removed = false;
};

// Part of one write, for one group, applied in the order of the fields.
struct LogWrite {
  GroupId group;
  // Makes the group known, with an empty log behind this position; erases what was there.
  std::optional<SnapshotMeta> reset;
  ReplicaId replica;  // with `reset`
  std::optional<HardState> hard_state;
  // Replace whatever is stored from entries.front()->index on.
  std::vector<EntryPtr> entries;
  Term previous;  // with `entries`: the term before the first one
  // Go to their places; what follows them stays.
  std::vector<Suspect> repairs;
  // Forget everything up to this position.
  std::optional<SnapshotMeta> truncate;
  bool removed = false;
};

class LogStore {
 public:
  virtual ~LogStore() = default;

  // All groups, as of the last completed write. Damaged entries are marked as such; DATA_LOSS if
  // more is damaged than entries: then what this store has promised can't be told, and it is lost.
  virtual absl::StatusOr<std::vector<GroupLog>> Load() = 0;

  // Writes atomically and syncs, then posts `done` to `loop`; completions on one loop come in the
  // order of its calls. Thread-safe. A failed write or sync ends the process: it can't be known
  // what is on the disk.
  virtual void Write(Loop* loop, std::vector<LogWrite> writes, Task done) = 0;

  // For a loop that has nothing to do before this is on disk: writes atomically and syncs before it
  // returns, which saves two wake-ups. False, and nothing is written, if the loop could have to
  // wait for more than one sync: another write is under way, the disk is slow now, or this is much
  // to write. Thread-safe.
  virtual bool TryWriteNow(const std::vector<LogWrite>& writes) = 0;

  // As LogReader, for entries whose write is completed. Thread-safe.
  virtual std::vector<EntryPtr> Read(GroupId group, Index from, Index end,
                                     size_t bytes_max) const = 0;
};

}  // namespace kvd::raft
