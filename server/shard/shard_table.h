// The shards of a group, and the steps by which the controller's operations change them (design,
// 7). A step names its operation and the epoch that it expects; repeated, it changes nothing and
// tells how the operation has gone. What was carried out or given up is remembered, also of shards
// that are gone, until the controller says that the operation is over: so a step that comes late
// changes nothing either.
//
// Pure; the same steps give the same table on every replica.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/shard.h"

namespace kvd::shard {

using kvd::ShardDescriptor;
using kvd::ShardState;
using kvd::ShardStep;
using kvd::StepAnswer;
using kvd::StepKind;
using kvd::StepOutcome;

struct FinishedStep {
  OperationId operation;
  StepOutcome outcome = StepOutcome::kDone;

  bool operator==(const FinishedStep&) const = default;
};

// What a step changes beside the table, and what it answers.
struct StepEffect {
  std::vector<ShardId> changed;  // descriptors, also those that are gone by now
  std::vector<ShardId> told;     // outcomes, also those that are forgotten by now
  std::optional<KeyRange> erased;
  bool takes_rows = false;
  bool completes = false;  // an import
  StepOutcome outcome = StepOutcome::kOpen;
  std::optional<ShardDescriptor> shard;  // as it is now, if it is here
};

class ShardTable {
 public:
  using Map = std::map<std::string, ShardDescriptor, std::less<>>;

  // By start key; they do not overlap.
  const Map& shards() const { return shards_; }
  bool empty() const { return shards_.empty(); }
  const ShardDescriptor* Find(ShardId id) const;
  // The shard that holds the key and serves it; null if none does here.
  const ShardDescriptor* Serving(std::string_view key) const;
  // The shard that holds the key, whatever becomes of it; null if none does here.
  const ShardDescriptor* At(std::string_view key) const;
  // The one that holds the last keys below `end`, empty: of all.
  const ShardDescriptor* Before(std::string_view end) const;
  // Whether serving shards hold the whole range.
  bool ServesRange(const KeyRange& range) const;
  // The part of the range, from its start on, that serving shards hold without a gap, or from its
  // end backwards. Empty (KeyRange::Empty) if they do not hold its start, or its last keys. Looks
  // at no more than `shards_max` of them, and so may end before the part does.
  KeyRange ServedStart(const KeyRange& range, size_t shards_max = ~size_t{0}) const;
  KeyRange ServedEnd(const KeyRange& range, size_t shards_max = ~size_t{0}) const;
  // The history above must be kept: shards are being copied. kTimestampMax: none is.
  Timestamp pin() const;

  // Applies a step at the time `now`. FAILED_PRECONDITION if it does not fit what there is, or
  // comes too late, and nothing was changed.
  absl::StatusOr<StepEffect> Apply(const ShardStep& step, Timestamp now);

  const std::map<ShardId, FinishedStep>& finished() const { return finished_; }
  OperationId closed_below() const { return closed_below_; }

  // As records say. False if they contradict each other.
  bool Restore(const ShardDescriptor& shard);
  void Restore(ShardId id, const FinishedStep& finished) { finished_[id] = finished; }
  void RestoreClosedBelow(OperationId id) { closed_below_ = id; }

  // Fails the process if what belongs together does not.
  void CheckState() const;

 private:
  using Handler = absl::Status (ShardTable::*)(const ShardStep&, Timestamp, StepEffect*);

  absl::Status CheckOperation(const ShardStep& step) const;
  void Forget(OperationId below, StepEffect* effect);
  ShardDescriptor* FindMutable(ShardId id);
  // The shard in this state, at the step's epoch, with this operation open on it.
  absl::StatusOr<ShardDescriptor*> Expect(const ShardStep& step, ShardState state,
                                          OperationId operation);
  bool IsFree(const KeyRange& range) const;
  void Finish(const ShardStep& step, ShardId id, StepOutcome outcome, StepEffect* effect);

  absl::Status Install(const ShardStep& step, Timestamp now, StepEffect* effect);
  absl::Status Split(const ShardStep& step, Timestamp now, StepEffect* effect);
  absl::Status Merge(const ShardStep& step, Timestamp now, StepEffect* effect);
  absl::Status Abandon(const ShardStep& step, Timestamp now, StepEffect* effect);
  absl::Status BeginExport(const ShardStep& step, Timestamp now, StepEffect* effect);
  absl::Status BeginImport(const ShardStep& step, Timestamp now, StepEffect* effect);
  absl::Status Import(const ShardStep& step, Timestamp now, StepEffect* effect);
  absl::Status Freeze(const ShardStep& step, Timestamp now, StepEffect* effect);
  absl::Status CompleteImport(const ShardStep& step, Timestamp now, StepEffect* effect);
  absl::Status AbortImport(const ShardStep& step, Timestamp now, StepEffect* effect);
  absl::Status EndExport(const ShardStep& step, Timestamp now, StepEffect* effect);
  absl::Status Drop(const ShardStep& step, Timestamp now, StepEffect* effect);

  Map shards_;
  std::map<ShardId, std::string> starts_;
  std::map<ShardId, FinishedStep> finished_;
  OperationId closed_below_;
};

}  // namespace kvd::shard
