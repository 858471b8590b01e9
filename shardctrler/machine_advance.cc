// Operations: how they go on, and what each step changes.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "proto/bytes.h"
#include "proto/check.h"
#include "shardctrler/machine.h"

namespace kvd::shardctrler {
namespace {

bool MayFollow(const Operation& o, Phase next) {
  switch (o.phase) {
    case Phase::kRunning:
      // Without the first group there would be nobody to own the keys; and what a group that
      // retires had may be gone already.
      if (next == Phase::kCancelling) {
        return o.kind != OperationKind::kRetireGroup &&
               (o.kind != OperationKind::kCreateGroup || !o.shard);
      }
      return next == (o.kind == OperationKind::kMove ? Phase::kForward : Phase::kDone);
    case Phase::kForward: return next == Phase::kPublished;
    case Phase::kPublished: return next == Phase::kDone;
    case Phase::kCancelling:
      // What its group has carried out already stays.
      return next == Phase::kCancelled || (next == Phase::kDone && o.kind != OperationKind::kMove);
    case Phase::kDone:
    case Phase::kCancelled: return false;
  }
  return false;
}

}  // namespace

// One that repeats what was done is OK, so that whoever missed the answer can ask again.
absl::Status Machine::Advance(const Command& command, const Context& context) {
  const Operation* known = state_.FindOperation(command.id);
  if (known == nullptr) {
    return absl::NotFoundError(absl::StrCat("there is no operation ", command.id.value()));
  }
  if (known->phase == command.next) return absl::OkStatus();
  if (known->phase != command.phase || !MayFollow(*known, command.next)) {
    return absl::FailedPreconditionError(
        absl::StrCat("operation ", command.id.value(), " (", ToAbsl(ToString(known->kind)), ") is ",
                     ToAbsl(ToString(known->phase)), ": it can't become ",
                     ToAbsl(ToString(command.next)), " from ", ToAbsl(ToString(command.phase))));
  }
  Operation o = *known;
  o.phase = command.next;
  o.changed = context.position.timestamp;
  state_.Put(command.id, o, context.records);
  switch (o.kind) {
    case OperationKind::kMove: EnterMove(o, command.id, context); break;
    case OperationKind::kSplit: EnterSplit(o, context); break;
    case OperationKind::kMerge: EnterMerge(o, context); break;
    case OperationKind::kCreateGroup: EnterCreateGroup(o, context); break;
    case OperationKind::kChangeReplicas: EnterChangeReplicas(o, context); break;
    case OperationKind::kRetireGroup: EnterRetireGroup(o, context); break;
  }
  return absl::OkStatus();
}

void Machine::EnterMove(const Operation& o, OperationId id, const Context& context) {
  if (o.phase != Phase::kPublished) return;
  auto shard = state_.shards().Find(o.shard);
  KVD_CHECK(shard != state_.shards().end() && shard->second.epoch == o.epoch);
  state_.PutShard(std::string(shard->first),
                  Shard{o.shard, o.epoch + 1, o.to, id, shard->second.keep}, context.records);
  state_.PutConfig(context.position.timestamp, context.records);
}

void Machine::EnterSplit(const Operation& o, const Context& context) {
  if (o.phase != Phase::kDone) return;
  auto shard = state_.shards().Find(o.shard);
  KVD_CHECK(shard != state_.shards().end() && shard->second.epoch == o.epoch);
  KVD_CHECK(state_.shards().RangeOf(shard).Contains(o.key));
  state_.PutShard(std::string(shard->first),
                  Shard{o.shard, o.epoch + 1, o.group, {}, shard->second.keep}, context.records);
  state_.PutShard(o.key, Shard{o.other, o.epoch + 1, o.group, {}, o.by_hand}, context.records);
  state_.PutConfig(context.position.timestamp, context.records);
}

// An epoch above both: it is a later version of either.
void Machine::EnterMerge(const Operation& o, const Context& context) {
  if (o.phase != Phase::kDone) return;
  auto left = state_.shards().Find(o.shard);
  auto right = state_.shards().Find(o.other);
  KVD_CHECK(left != state_.shards().end() && right == std::next(left));
  state_.EraseShard(std::string(right->first), context.records);
  state_.PutShard(
      std::string(left->first),
      Shard{o.shard, std::max(o.epoch, o.other_epoch) + 1, o.group, {}, left->second.keep},
      context.records);
  state_.PutConfig(context.position.timestamp, context.records);
}

void Machine::EnterCreateGroup(const Operation& o, const Context& context) {
  if (o.phase == Phase::kCancelled) return state_.EraseGroup(o.group, context.records);
  if (o.phase != Phase::kDone) return;
  Group group = *state_.FindGroup(o.group);
  group.state = GroupState::kServing;
  state_.Put(o.group, group, context.records);
}

void Machine::EnterChangeReplicas(const Operation& o, const Context& context) {
  if (o.phase != Phase::kDone) return;
  Group group = *state_.FindGroup(o.group);
  auto leaves = [&o](const Replica& r) {
    return std::find(o.removed.begin(), o.removed.end(), r.id) != o.removed.end();
  };
  group.replicas.erase(std::remove_if(group.replicas.begin(), group.replicas.end(), leaves),
                       group.replicas.end());
  for (const Replica& added : o.added) {
    // Its leader may have told of it before (AdoptMembers).
    if (std::find(group.replicas.begin(), group.replicas.end(), added) == group.replicas.end())
      group.replicas.push_back(added);
  }
  state_.Put(o.group, group, context.records);
}

void Machine::EnterRetireGroup(const Operation& o, const Context& context) {
  if (o.phase == Phase::kDone) state_.EraseGroup(o.group, context.records);
}

}  // namespace kvd::shardctrler
