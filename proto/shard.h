// A shard as a group has it, and the steps by which the controller's operations change it (design,
// 7): what controller and groups say to each other. Values.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "proto/ids.h"
#include "proto/key_range.h"
#include "proto/timestamp.h"

namespace kvd {

enum class ShardState : uint8_t { kImporting = 1, kServing = 2, kFrozen = 3 };

struct ShardDescriptor {
  ShardId id;
  KeyRange range;
  Epoch epoch;
  ShardState state = ShardState::kServing;

  // A move under way.
  OperationId operation;  // 0: none
  GroupId peer;           // where it comes from, or goes to
  // Importing: the versions up to here are all in. Else: those above are not yet at the other end,
  // and what they say must not be forgotten.
  Timestamp copied;
  Timestamp copying;     // importing: the round under way goes up to here; 0: none is
  std::string next_key;  // and goes on at this key
  Timestamp next_after;  // after this version of it; 0: at its first one
  Timestamp frozen_at;   // frozen: nothing in the range is above

  bool operator==(const ShardDescriptor&) const = default;
};

enum class StepKind : uint8_t {
  kInstall = 1,      // the first shard of a cluster: `range`, at `epoch`
  kSplit = 2,        // at `key`; what lies above becomes `other`
  kMerge = 3,        // `other`, at `other_epoch`, into it
  kAbandon = 4,      // a split or merge is not to be carried out any more
  kBeginExport = 5,  // to `peer`; again: `peer` has all up to `at`
  kBeginImport = 6,  // from `peer`: `range`, at `epoch`, its own from the start
  kImport = 7,  // `rows` of the round (`after`, `at`], from `key` after its version `key_after` to
                // `next_key` after its version `next_after`
  kFreeze = 8,  // from now on it is not served here
  kCompleteImport =
      9,              // everything up to `at`, when it was frozen, is in: from now on it is served
  kAbortImport = 10,  // what has come is given up
  kEndExport = 11,    // the move is cancelled; not once it is frozen
  kDrop = 12,         // it is another group's now
};

struct ShardStep {
  StepKind kind = StepKind::kInstall;
  OperationId operation;
  OperationId closed_below;  // all operations below are over, as the controller knows
  ShardId shard;
  Epoch epoch;  // that the shard has before the step; an import's from the start
  KeyRange range;
  std::string key;
  Timestamp key_after;
  std::string next_key;
  Timestamp next_after;
  ShardId other;
  Epoch other_epoch;
  GroupId peer;
  Timestamp after;
  Timestamp at;
  Timestamp safe_point;  // kCompleteImport: of the group that it comes from
  std::string rows;      // kImport: server/shard/shard_codec.h

  bool operator==(const ShardStep&) const = default;
};

// How an operation has gone on a shard here.
enum class StepOutcome : uint8_t { kOpen = 1, kDone = 2, kAborted = 3 };

// What a step answers to whoever proposed it.
struct StepAnswer {
  StepOutcome outcome = StepOutcome::kOpen;
  std::optional<ShardDescriptor> shard;  // as it is now, if it is here
  Timestamp safe_point;                  // of the group: what was before is not told any more

  bool operator==(const StepAnswer&) const = default;
};

std::string_view ToString(ShardState state);
std::string_view ToString(StepKind kind);
std::string_view ToString(StepOutcome outcome);

}  // namespace kvd
