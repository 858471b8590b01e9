// What a group replicates: told of committed entries in order, gives and takes snapshots of itself.
// Lives on the host's loop. Everything but proposals' results is a function of the log.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "raft/core/types.h"

namespace kvd::raft {

// A command on its way through the log, on the store that proposed it. The state machine may hang
// the result on its own subclass when it applies the entry.
class Proposal {
 public:
  virtual ~Proposal() = default;
  // Called exactly once: OK once applied; UNAVAILABLE if it certainly never will be; UNKNOWN
  // (OutcomeUnknown) if that can't be told.
  virtual void Finish(absl::Status status) = 0;
};

struct ApplyItem {
  const Entry* entry;
  Proposal* proposal;  // null unless proposed here in this term
};

// A frozen copy of the state, cut into chunks. Chunk n is the same whenever it is read.
class SnapshotReader {
 public:
  virtual ~SnapshotReader() = default;
  virtual SnapshotMeta meta() const = 0;
  struct Chunk {
    std::string data;
    bool last = false;
  };
  // Requires: sequence is at most one more than the highest read so far.
  virtual absl::StatusOr<Chunk> Read(uint64_t sequence) = 0;
};

// Collects a snapshot beside the state, without touching it. Destroying it drops what was staged.
class SnapshotStage {
 public:
  virtual ~SnapshotStage() = default;
  virtual absl::Status Add(std::string_view chunk) = 0;
};

class StateMachine {
 public:
  virtual ~StateMachine() = default;

  // What the state reflects, all of it durable or replayable from the log.
  virtual ReplicaId replica() const = 0;
  virtual SnapshotMeta applied() const = 0;
  // Up to here the state survives a crash without the log. May read the disk.
  virtual Index DurableIndex() = 0;

  // The configuration at the applied position, as the log tells it. Called once, before Apply.
  virtual void OnStart(const Configuration& configuration) = 0;

  // Erases all state, durably, and starts as `replica` at position 0.
  virtual absl::Status Wipe(ReplicaId replica) = 0;

  // Whether Apply would not have to wait for the disk. While it would, nothing is applied: the loop
  // must answer. Asked in every turn, and often while it would.
  virtual bool CanApply() { return true; }
  // Applies entries of all types in order. DATA_LOSS if the state is damaged: then this replica
  // applies nothing more, and its process is about to end. Any other failure ends the process at
  // once.
  virtual absl::Status Apply(absl::Span<const ApplyItem> items) = 0;

  virtual absl::StatusOr<std::unique_ptr<SnapshotReader>> TakeSnapshot() = 0;
  virtual absl::StatusOr<std::unique_ptr<SnapshotStage>> StageSnapshot() = 0;
  // Replaces the state by what is staged, with `meta` and the replica id, durably. A crash leaves
  // the old state, none, or the new one.
  virtual absl::Status InstallSnapshot(std::unique_ptr<SnapshotStage> stage,
                                       const SnapshotMeta& meta, ReplicaId replica) = 0;

  // This replica started or ceased to lead. Proposals are accepted in between.
  virtual void OnRoleChange(bool leads, Term term) = 0;
};

}  // namespace kvd::raft
