// Operations: what may begin.
#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "proto/bytes.h"
#include "proto/error.h"
#include "shardctrler/machine.h"

namespace kvd::shardctrler {
namespace {

absl::Status UnknownGroup(GroupId id) {
  return absl::NotFoundError(absl::StrCat("there is no group ", id.value()));
}

absl::Status NotServing(GroupId id, GroupState state) {
  return absl::FailedPreconditionError(
      absl::StrCat("group ", id.value(), " is ", ToAbsl(ToString(state))));
}

}  // namespace

absl::Status Machine::Open(Operation operation, const Context& context, Result* result) {
  Ids ids = state_.ids();
  absl::Status status;
  switch (operation.kind) {
    case OperationKind::kMove: status = OpenMove(&operation); break;
    case OperationKind::kSplit: status = OpenSplit(&operation, &ids); break;
    case OperationKind::kMerge: status = OpenMerge(&operation); break;
    case OperationKind::kCreateGroup: status = OpenCreateGroup(&operation, &ids); break;
    case OperationKind::kChangeReplicas: status = OpenChangeReplicas(&operation, &ids); break;
    case OperationKind::kRetireGroup: status = OpenRetireGroup(&operation); break;
  }
  if (!status.ok()) return status;
  operation.phase = Phase::kRunning;
  operation.opened = operation.changed = context.position.timestamp;
  if (ids != state_.ids()) state_.Put(ids, context.records);
  if (operation.kind == OperationKind::kCreateGroup) {
    state_.Put(operation.group, Group{GroupState::kCreating, operation.added, {}}, context.records);
  } else if (operation.kind == OperationKind::kRetireGroup) {
    Group group = *state_.FindGroup(operation.group);
    group.state = GroupState::kRetiring;
    state_.Put(operation.group, group, context.records);
  }
  result->operation = OperationId(ids.operations_from + context.position.index.value());
  state_.Put(result->operation, operation, context.records);
  return absl::OkStatus();
}

// The shard, if nothing is open on it. With epoch 0 whatever it has become.
absl::StatusOr<ShardMap::Position> Machine::FreeShard(ShardId id, Epoch epoch) const {
  auto shard = state_.shards().Find(id);
  if (shard == state_.shards().end()) {
    return absl::NotFoundError(absl::StrCat("there is no shard ", id.value()));
  }
  if (shard->second.operation) {
    const Operation& open = *state_.FindOperation(shard->second.operation);
    return ConflictError(shard->first, absl::StrCat("operation ", shard->second.operation.value(),
                                                    " (", ToAbsl(ToString(open.kind)),
                                                    ") is under way on shard ", id.value()));
  }
  if (epoch && epoch != shard->second.epoch) {
    return absl::FailedPreconditionError(absl::StrCat("shard ", id.value(), " is at epoch ",
                                                      shard->second.epoch.value(), " by now, not ",
                                                      epoch.value()));
  }
  return shard;
}

// The group, if it serves and its replicas are not being changed.
absl::StatusOr<const Group*> Machine::FreeGroup(GroupId id) const {
  const Group* group = state_.FindGroup(id);
  if (group == nullptr) return UnknownGroup(id);
  if (group->operation) {
    const Operation& open = *state_.FindOperation(group->operation);
    return ConflictError(
        "", absl::StrCat("operation ", group->operation.value(), " (", ToAbsl(ToString(open.kind)),
                         ") is under way on group ", id.value()));
  }
  if (group->state != GroupState::kServing) return NotServing(id, group->state);
  return group;
}

absl::Status Machine::OpenMove(Operation* o) const {
  auto shard = FreeShard(o->shard, o->epoch);
  if (!shard.ok()) return shard.status();
  const Shard& known = (*shard)->second;
  const Group* target = state_.FindGroup(o->to);
  if (target == nullptr) return UnknownGroup(o->to);
  if (o->to == kControllerGroup) {
    return absl::InvalidArgumentError(
        absl::StrCat("group ", o->to.value(), " is the controller's: it holds no shards"));
  }
  if (o->to == known.group) {
    return absl::FailedPreconditionError(
        absl::StrCat("shard ", o->shard.value(), " is in group ", o->to.value(), " already"));
  }
  if (target->state != GroupState::kServing) return NotServing(o->to, target->state);
  o->epoch = known.epoch;
  o->group = known.group;
  return absl::OkStatus();
}

absl::Status Machine::OpenSplit(Operation* o, Ids* ids) const {
  auto shard = FreeShard(o->shard, o->epoch);
  if (!shard.ok()) return shard.status();
  KeyRange range = state_.shards().RangeOf(*shard);
  if (o->key <= range.start || !range.Contains(o->key)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "key ", Printable(o->key), " does not split shard ", o->shard.value(), ", which goes from ",
        Printable(range.start), range.end.empty() ? " to the end" : " to ",
        range.end.empty() ? "" : Printable(range.end)));
  }
  o->epoch = (*shard)->second.epoch;
  o->group = (*shard)->second.group;
  o->other = ids->next_shard;
  ++ids->next_shard;
  return absl::OkStatus();
}

absl::Status Machine::OpenMerge(Operation* o) const {
  auto left = FreeShard(o->shard, o->epoch);
  if (!left.ok()) return left.status();
  auto next = std::next(*left);
  if (next == state_.shards().end()) {
    return absl::FailedPreconditionError(
        absl::StrCat("shard ", o->shard.value(), " is the last one: it has no right neighbour"));
  }
  if (o->other && o->other != next->second.id) {
    return absl::FailedPreconditionError(
        absl::StrCat("shard ", o->other.value(), " is not the right neighbour of shard ",
                     o->shard.value(), ", that is shard ", next->second.id.value()));
  }
  auto right = FreeShard(next->second.id, o->other_epoch);
  if (!right.ok()) return right.status();
  if ((*left)->second.group != next->second.group) {
    return absl::FailedPreconditionError(absl::StrCat(
        "shard ", o->shard.value(), " is in group ", (*left)->second.group.value(), ", shard ",
        next->second.id.value(), " in group ", next->second.group.value(), ": move one first"));
  }
  o->epoch = (*left)->second.epoch;
  o->group = next->second.group;
  o->other = next->second.id;
  o->other_epoch = next->second.epoch;
  return absl::OkStatus();
}

// Allots the ids of new replicas; each on a store of its own that serves and has none of the group.
absl::Status Machine::Place(std::vector<Replica>* added, const Group* into, Ids* ids) const {
  std::set<StoreId> taken;
  if (into != nullptr) {
    for (const Replica& r : into->replicas) taken.insert(r.store);
  }
  for (Replica& replica : *added) {
    const Store* store = state_.FindStore(replica.store);
    if (store == nullptr) {
      return absl::NotFoundError(
          absl::StrCat("store ", replica.store.value(), " is not known to the cluster"));
    }
    if (store->state != StoreState::kServing) {
      return absl::FailedPreconditionError(
          absl::StrCat("store ", replica.store.value(), " is ", ToAbsl(ToString(store->state))));
    }
    if (!taken.insert(replica.store).second) {
      return absl::FailedPreconditionError(
          absl::StrCat("store ", replica.store.value(), " has a replica of the group already"));
    }
    replica.id = ids->next_replica;
    ++ids->next_replica;
  }
  return absl::OkStatus();
}

absl::Status Machine::OpenCreateGroup(Operation* o, Ids* ids) const {
  if (o->added.empty()) return LimitError("stores", 1, 0, "stores");
  o->shard = ShardId();
  o->group = ids->next_group;
  ++ids->next_group;
  return Place(&o->added, nullptr, ids);
}

absl::Status Machine::OpenChangeReplicas(Operation* o, Ids* ids) const {
  auto group = FreeGroup(o->group);
  if (!group.ok()) return group.status();
  if (o->added.empty() && o->removed.empty()) {
    return absl::InvalidArgumentError("no replica is to be added or removed");
  }
  std::set<ReplicaId> left;
  for (const Replica& r : (*group)->replicas) left.insert(r.id);
  for (ReplicaId id : o->removed) {
    if (left.erase(id) == 1) continue;
    return absl::NotFoundError(
        absl::StrCat("group ", o->group.value(), " has no replica ", id.value()));
  }
  if (left.empty() && o->added.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("group ", o->group.value(), " would be left without a replica"));
  }
  return Place(&o->added, *group, ids);
}

absl::Status Machine::OpenRetireGroup(Operation* o) const {
  auto group = FreeGroup(o->group);
  if (!group.ok()) return group.status();
  if (o->group == kControllerGroup) {
    return absl::InvalidArgumentError(
        absl::StrCat("group ", o->group.value(), " is the controller's: it stays"));
  }
  size_t shards = state_.shards().Of(o->group).size();
  if (shards > 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("group ", o->group.value(), " still has ", shards, " shards"));
  }
  for (const auto& [id, open] : state_.operations()) {
    if (!IsOpen(open.phase) || open.kind != OperationKind::kMove || open.to != o->group) continue;
    return absl::FailedPreconditionError(absl::StrCat("operation ", id.value(), " is moving shard ",
                                                      open.shard.value(), " to group ",
                                                      o->group.value()));
  }
  return absl::OkStatus();
}

}  // namespace kvd::shardctrler
