#include "server/shard/shard_table.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "proto/bytes.h"
#include "proto/check.h"

namespace kvd::shard {

const ShardDescriptor* ShardTable::Find(ShardId id) const {
  auto start = starts_.find(id);
  return start == starts_.end() ? nullptr : &shards_.find(start->second)->second;
}

ShardDescriptor* ShardTable::FindMutable(ShardId id) {
  return const_cast<ShardDescriptor*>(Find(id));
}

const ShardDescriptor* ShardTable::At(std::string_view key) const {
  auto it = shards_.upper_bound(key);
  if (it == shards_.begin()) return nullptr;
  const ShardDescriptor& shard = std::prev(it)->second;
  return shard.range.Contains(key) ? &shard : nullptr;
}

const ShardDescriptor* ShardTable::Before(std::string_view end) const {
  auto it = end.empty() ? shards_.end() : shards_.lower_bound(end);
  if (it == shards_.begin()) return nullptr;
  const ShardDescriptor& shard = std::prev(it)->second;
  bool reaches = shard.range.end.empty() || (!end.empty() && shard.range.end >= end);
  return reaches ? &shard : nullptr;
}

const ShardDescriptor* ShardTable::Serving(std::string_view key) const {
  const ShardDescriptor* shard = At(key);
  return shard != nullptr && shard->state == ShardState::kServing ? shard : nullptr;
}

bool ShardTable::ServesRange(const KeyRange& range) const {
  return !range.Empty() && ServedStart(range) == range;
}

KeyRange ShardTable::ServedStart(const KeyRange& range, size_t shards_max) const {
  constexpr std::string_view kNothing("\0", 1);
  KeyRange served{range.start, range.start};
  for (auto it = shards_.upper_bound(range.start); it != shards_.begin();) {
    const ShardDescriptor& shard = std::prev(it)->second;
    if (shard.state != ShardState::kServing || !shard.range.Contains(served.end)) break;
    if (shard.range.end.empty() || (!range.end.empty() && range.end <= shard.range.end))
      return range;
    served.end = shard.range.end;
    if (it == shards_.end() || --shards_max == 0) break;
    ++it;
  }
  // A range without an end has all keys.
  if (served.end.empty()) return {std::string(kNothing), std::string(kNothing)};
  return served;
}

KeyRange ShardTable::ServedEnd(const KeyRange& range, size_t shards_max) const {
  constexpr std::string_view kNothing("\0", 1);
  std::optional<std::string> from;
  while (shards_max-- > 0 && (!from || (*from > range.start && !from->empty()))) {
    const ShardDescriptor* shard = Before(from ? *from : range.end);
    if (shard == nullptr || shard->state != ShardState::kServing) break;
    from = shard->range.start;
  }
  if (!from) return {std::string(kNothing), std::string(kNothing)};
  return {std::max(*from, range.start), range.end};
}

Timestamp ShardTable::pin() const {
  Timestamp pin = kTimestampMax;
  for (const auto& [start, shard] : shards_) {
    bool exported = shard.operation && shard.state != ShardState::kImporting;
    if (exported) pin = std::min(pin, shard.copied);
  }
  return pin;
}

bool ShardTable::IsFree(const KeyRange& range) const {
  auto it = shards_.upper_bound(range.start);
  if (it != shards_.begin() && std::prev(it)->second.range.Overlaps(range)) return false;
  return it == shards_.end() || !it->second.range.Overlaps(range);
}

// Whether the step is of the newest operation of its shard, as far as is known here.
absl::Status ShardTable::CheckOperation(const ShardStep& step) const {
  auto over = [&step](std::string_view why) {
    return absl::FailedPreconditionError(absl::StrCat(
        "operation ", step.operation.value(), " on shard ", step.shard.value(), ": ", ToAbsl(why)));
  };
  if (!step.operation) return over("it has no number");
  if (step.operation < closed_below_) return over("it is over");
  auto finished = finished_.find(step.shard);
  if (finished != finished_.end() && finished->second.operation > step.operation) {
    return over(absl::StrCat("operation ", finished->second.operation.value(), " came after it"));
  }
  const ShardDescriptor* shard = Find(step.shard);
  if (shard != nullptr && shard->operation && shard->operation != step.operation) {
    return over(absl::StrCat("operation ", shard->operation.value(), " is under way"));
  }
  return absl::OkStatus();
}

// What is open here is not over, whatever is said.
void ShardTable::Forget(OperationId below, StepEffect* effect) {
  if (below <= closed_below_) return;
  for (const auto& [start, shard] : shards_) {
    if (shard.operation) below = std::min(below, shard.operation);
  }
  closed_below_ = std::max(closed_below_, below);
  for (auto it = finished_.begin(); it != finished_.end();) {
    if (it->second.operation >= closed_below_) {
      ++it;
      continue;
    }
    effect->told.push_back(it->first);
    it = finished_.erase(it);
  }
}

absl::StatusOr<StepEffect> ShardTable::Apply(const ShardStep& step, Timestamp now) {
  static constexpr Handler kHandlers[] = {
      &ShardTable::Install,     &ShardTable::Split,       &ShardTable::Merge,
      &ShardTable::Abandon,     &ShardTable::BeginExport, &ShardTable::BeginImport,
      &ShardTable::Import,      &ShardTable::Freeze,      &ShardTable::CompleteImport,
      &ShardTable::AbortImport, &ShardTable::EndExport,   &ShardTable::Drop};
  absl::Status status = CheckOperation(step);
  if (!status.ok()) return status;
  StepEffect effect;
  auto finished = finished_.find(step.shard);
  if (finished != finished_.end() && finished->second.operation == step.operation) {
    effect.outcome = finished->second.outcome;
  } else {
    status = (this->*kHandlers[static_cast<size_t>(step.kind) - 1])(step, now, &effect);
    if (!status.ok()) return status;
  }
  Forget(std::min(step.closed_below, step.operation), &effect);
  if (const ShardDescriptor* shard = Find(step.shard)) effect.shard = *shard;
  return effect;
}

absl::StatusOr<ShardDescriptor*> ShardTable::Expect(const ShardStep& step, ShardState state,
                                                    OperationId operation) {
  ShardDescriptor* shard = FindMutable(step.shard);
  auto refuse = [&](std::string_view why) {
    return absl::FailedPreconditionError(absl::StrCat(ToAbsl(ToString(step.kind)), " of shard ",
                                                      step.shard.value(), ": ", ToAbsl(why)));
  };
  if (shard == nullptr) return refuse("it is not here");
  if (shard->state != state) return refuse(absl::StrCat("it is ", ToAbsl(ToString(shard->state))));
  if (shard->epoch != step.epoch) {
    return refuse(
        absl::StrCat("it is at epoch ", shard->epoch.value(), ", not ", step.epoch.value()));
  }
  if (shard->operation != operation) return refuse("no such operation is under way");
  return shard;
}

void ShardTable::Finish(const ShardStep& step, ShardId id, StepOutcome outcome,
                        StepEffect* effect) {
  finished_[id] = {step.operation, outcome};
  effect->told.push_back(id);
  effect->outcome = outcome;
}

bool ShardTable::Restore(const ShardDescriptor& shard) {
  if (starts_.contains(shard.id) || shard.range.Empty() || !IsFree(shard.range)) return false;
  starts_[shard.id] = shard.range.start;
  shards_[shard.range.start] = shard;
  return true;
}

void ShardTable::CheckState() const {
  KVD_CHECK(starts_.size() == shards_.size());
  const ShardDescriptor* before = nullptr;
  for (const auto& [start, shard] : shards_) {
    KVD_CHECK(shard.id && shard.epoch && shard.range.start == start && !shard.range.Empty());
    KVD_CHECK(starts_.at(shard.id) == start);
    KVD_CHECK(before == nullptr || !before->range.Overlaps(shard.range));
    KVD_CHECK(shard.state == ShardState::kServing || shard.operation);
    KVD_CHECK((shard.state == ShardState::kFrozen) == static_cast<bool>(shard.frozen_at));
    bool importing = shard.state == ShardState::kImporting;
    KVD_CHECK(importing || (!shard.copying && shard.next_key.empty()));
    KVD_CHECK(!shard.next_after || !shard.next_key.empty());
    KVD_CHECK(!shard.copying || shard.copying > shard.copied);
    KVD_CHECK(!shard.operation || shard.operation >= closed_below_);
    before = &shard;
  }
  for (const auto& [id, finished] : finished_) KVD_CHECK(finished.operation >= closed_below_);
}

}  // namespace kvd::shard
