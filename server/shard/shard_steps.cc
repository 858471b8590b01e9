// What each step of an operation does to the table.
#include <algorithm>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "proto/bytes.h"
#include "server/shard/shard_table.h"

namespace kvd::shard {
namespace {

absl::Status Refused(const ShardStep& step, std::string_view why) {
  return absl::FailedPreconditionError(absl::StrCat(ToAbsl(ToString(step.kind)), " of shard ",
                                                    step.shard.value(), ": ", ToAbsl(why)));
}

void EndMove(ShardDescriptor* shard) {
  shard->operation = OperationId();
  shard->peer = GroupId();
  shard->copied = shard->copying = shard->frozen_at = shard->next_after = Timestamp();
  shard->next_key.clear();
}

}  // namespace

absl::Status ShardTable::Install(const ShardStep& step, Timestamp, StepEffect* effect) {
  ShardDescriptor shard{step.shard, step.range, step.epoch, ShardState::kServing};
  if (!Restore(shard)) return Refused(step, "other shards are here");
  effect->changed = {step.shard};
  Finish(step, step.shard, StepOutcome::kDone, effect);
  return absl::OkStatus();
}

absl::Status ShardTable::Split(const ShardStep& step, Timestamp, StepEffect* effect) {
  auto shard = Expect(step, ShardState::kServing, OperationId());
  if (!shard.ok()) return shard.status();
  ShardDescriptor& left = **shard;
  if (step.key <= left.range.start || !left.range.Contains(step.key)) {
    return Refused(step, absl::StrCat("key ", Printable(step.key), " is not inside it"));
  }
  if (!step.other || Find(step.other) != nullptr) return Refused(step, "the new one is here");
  ShardDescriptor right{step.other, {step.key, left.range.end}, left.epoch + 1};
  left.range.end = step.key;
  ++left.epoch;
  starts_[right.id] = right.range.start;
  shards_[right.range.start] = right;
  effect->changed = {left.id, right.id};
  Finish(step, step.shard, StepOutcome::kDone, effect);
  return absl::OkStatus();
}

absl::Status ShardTable::Merge(const ShardStep& step, Timestamp, StepEffect* effect) {
  auto shard = Expect(step, ShardState::kServing, OperationId());
  if (!shard.ok()) return shard.status();
  const ShardDescriptor* right = Find(step.other);
  bool fits = right != nullptr && right->state == ShardState::kServing && !right->operation &&
              right->epoch == step.other_epoch && !(*shard)->range.end.empty() &&
              right->range.start == (*shard)->range.end;
  if (!fits)
    return Refused(step, absl::StrCat("shard ", step.other.value(), " does not follow it"));
  ShardDescriptor& left = **shard;
  left.range.end = right->range.end;
  left.epoch = std::max(left.epoch, right->epoch) + 1;
  std::string start = right->range.start;
  shards_.erase(start);
  starts_.erase(step.other);
  effect->changed = {step.shard, step.other};
  Finish(step, step.other, StepOutcome::kDone, effect);
  Finish(step, step.shard, StepOutcome::kDone, effect);
  return absl::OkStatus();
}

// Had it been carried out, Apply would have said so.
absl::Status ShardTable::Abandon(const ShardStep& step, Timestamp, StepEffect* effect) {
  const ShardDescriptor* shard = Find(step.shard);
  if (shard != nullptr && shard->operation) return Refused(step, "it is a move");
  Finish(step, step.shard, StepOutcome::kAborted, effect);
  return absl::OkStatus();
}

// Begins with what was written up to now: the first round goes further than that.
absl::Status ShardTable::BeginExport(const ShardStep& step, Timestamp now, StepEffect* effect) {
  const ShardDescriptor* here = Find(step.shard);
  bool again = here != nullptr && here->operation == step.operation;
  // Frozen, there is nothing more to be written; what it answered then is told by its descriptor.
  if (again && here->state == ShardState::kFrozen) return absl::OkStatus();
  auto shard = Expect(step, ShardState::kServing, again ? step.operation : OperationId());
  if (!shard.ok()) return shard.status();
  ShardDescriptor& exported = **shard;
  exported.operation = step.operation;
  exported.peer = step.peer;
  Timestamp copied = again ? std::max(exported.copied, std::min(step.at, now)) : now;
  if (again && copied == exported.copied) return absl::OkStatus();
  exported.copied = copied;
  effect->changed = {step.shard};
  return absl::OkStatus();
}

absl::Status ShardTable::BeginImport(const ShardStep& step, Timestamp, StepEffect* effect) {
  const ShardDescriptor* here = Find(step.shard);
  if (here != nullptr) {
    bool again = here->operation == step.operation && here->state == ShardState::kImporting;
    return again ? absl::OkStatus() : Refused(step, "it is here");
  }
  ShardDescriptor shard{step.shard, step.range, step.epoch, ShardState::kImporting};
  shard.operation = step.operation;
  shard.peer = step.peer;
  if (!step.epoch || !Restore(shard)) return Refused(step, "other shards are in its range");
  effect->changed = {step.shard};
  effect->erased = step.range;
  return absl::OkStatus();
}

// Chunks of a round come in order, each once: one that is not the next one has come before, or was
// asked for by a leader that did not know how far it is. A key whose versions come in parts begins
// anew if the other end has meanwhile given up what came of it: what hides those versions may be
// gone there too. That happens in the first round alone, as what is in later ones is pinned.
absl::Status ShardTable::Import(const ShardStep& step, Timestamp, StepEffect* effect) {
  auto shard = Expect(step, ShardState::kImporting, step.operation);
  if (!shard.ok()) return shard.status();
  ShardDescriptor& importing = **shard;
  bool again = importing.next_after && !step.key_after && !importing.copied;
  bool next = importing.copying ? step.at == importing.copying && step.key == importing.next_key &&
                                      (step.key_after == importing.next_after || again)
                                : step.key.empty() && !step.key_after && step.at > importing.copied;
  if (step.after != importing.copied || !next) return Refused(step, "it is no continuation");
  bool rises = step.next_key.empty() ? !step.next_after
                                     : importing.range.Contains(step.next_key) &&
                                           std::tie(step.next_key, step.next_after) >
                                               std::tie(step.key, step.key_after);
  if (!rises) return Refused(step, "it goes on where it has been");
  if (again) effect->erased = KeyRange{step.key, step.key + '\0'};
  importing.next_key = step.next_key;
  importing.next_after = step.next_after;
  importing.copying = step.next_key.empty() ? Timestamp() : step.at;
  if (step.next_key.empty()) importing.copied = step.at;
  effect->changed = {step.shard};
  effect->takes_rows = true;
  return absl::OkStatus();
}

absl::Status ShardTable::Freeze(const ShardStep& step, Timestamp now, StepEffect* effect) {
  const ShardDescriptor* here = Find(step.shard);
  bool again = here != nullptr && here->operation == step.operation &&
               here->state == ShardState::kFrozen && here->epoch == step.epoch + 1;
  if (again) return absl::OkStatus();
  auto shard = Expect(step, ShardState::kServing, step.operation);
  if (!shard.ok()) return shard.status();
  (*shard)->state = ShardState::kFrozen;
  ++(*shard)->epoch;
  (*shard)->frozen_at = now;
  effect->changed = {step.shard};
  return absl::OkStatus();
}

// A round that was asked for before the freeze may have gone beyond it: nothing is there.
absl::Status ShardTable::CompleteImport(const ShardStep& step, Timestamp now, StepEffect* effect) {
  auto shard = Expect(step, ShardState::kImporting, step.operation);
  if (!shard.ok()) return shard.status();
  if ((*shard)->copying || (*shard)->copied < step.at || now <= step.at) {
    return Refused(step, absl::StrCat("it has what was written up to ", (*shard)->copied.value(),
                                      ", not to ", step.at.value()));
  }
  EndMove(*shard);
  (*shard)->state = ShardState::kServing;
  effect->changed = {step.shard};
  effect->completes = true;
  Finish(step, step.shard, StepOutcome::kDone, effect);
  return absl::OkStatus();
}

// Also where it has not begun: then it never will.
absl::Status ShardTable::AbortImport(const ShardStep& step, Timestamp, StepEffect* effect) {
  const ShardDescriptor* here = Find(step.shard);
  if (here != nullptr) {
    auto shard = Expect(step, ShardState::kImporting, step.operation);
    if (!shard.ok()) return shard.status();
    effect->erased = here->range;
    shards_.erase(std::string(here->range.start));
    starts_.erase(step.shard);
    effect->changed = {step.shard};
  }
  Finish(step, step.shard, StepOutcome::kAborted, effect);
  return absl::OkStatus();
}

absl::Status ShardTable::EndExport(const ShardStep& step, Timestamp, StepEffect* effect) {
  const ShardDescriptor* here = Find(step.shard);
  bool begun = here != nullptr && here->operation == step.operation;
  auto shard = Expect(step, ShardState::kServing, begun ? step.operation : OperationId());
  if (!shard.ok()) return shard.status();
  if (begun) {
    EndMove(*shard);
    effect->changed = {step.shard};
  }
  Finish(step, step.shard, StepOutcome::kAborted, effect);
  return absl::OkStatus();
}

absl::Status ShardTable::Drop(const ShardStep& step, Timestamp, StepEffect* effect) {
  auto shard = Expect(step, ShardState::kFrozen, step.operation);
  if (!shard.ok()) return shard.status();
  effect->erased = (*shard)->range;
  shards_.erase(std::string((*shard)->range.start));
  starts_.erase(step.shard);
  effect->changed = {step.shard};
  Finish(step, step.shard, StepOutcome::kDone, effect);
  return absl::OkStatus();
}

}  // namespace kvd::shard
