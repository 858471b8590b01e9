// Stores: how they come into the cluster and leave it.
#include <set>

#include "absl/strings/str_cat.h"
#include "proto/bytes.h"
#include "proto/error.h"
#include "shardctrler/machine.h"

namespace kvd::shardctrler {
namespace {

absl::Status UnknownStore(StoreId id) {
  return absl::NotFoundError(absl::StrCat("store ", id.value(), " is not known to the cluster"));
}

absl::Status Removed(StoreId id) {
  return absl::FailedPreconditionError(
      absl::StrCat("store ", id.value(),
                   " was removed from the cluster; empty its data directory to join as a new one"));
}

Store ToStore(const JoiningStore& joining) {
  return {joining.address, joining.nonce, StoreState::kServing, joining.cores, joining.labels};
}

}  // namespace

// One store, the controller's group on it, and the first data group, which is yet to be created and
// owns all keys.
absl::Status Machine::Bootstrap(const Command& command, const Context& context, Result* result) {
  if (state_.ids().cluster) {
    return absl::FailedPreconditionError("the cluster is bootstrapped already");
  }
  constexpr StoreId kStore{1};
  constexpr GroupId kDataGroup = kControllerGroup + 1;
  constexpr ReplicaId kOfController{1};
  constexpr ReplicaId kOfDataGroup{2};
  constexpr ShardId kShard{1};
  Ids ids;
  ids.cluster = command.cluster;
  ids.next_store = kStore + 1;
  ids.next_group = kDataGroup + 1;
  ids.next_replica = kOfDataGroup + 1;
  ids.next_shard = kShard + 1;
  state_.Put(ids, context.records);
  state_.Put(kStore, ToStore(command.joining[0]), context.records);
  state_.Put(kControllerGroup, Group{GroupState::kServing, {{kOfController, kStore}}, {}},
             context.records);
  Group first{GroupState::kCreating, {{kOfDataGroup, kStore}}, {}};
  state_.Put(kDataGroup, first, context.records);
  state_.PutShard("", Shard{kShard, Epoch(1), kDataGroup, {}}, context.records);
  Operation create;
  create.kind = OperationKind::kCreateGroup;
  create.reason = "the cluster begins with it";
  create.shard = kShard;
  create.epoch = Epoch(1);
  create.group = kDataGroup;
  create.added = first.replicas;
  create.opened = create.changed = context.position.timestamp;
  state_.Put(OperationId(context.position.index.value()), create, context.records);
  state_.PutConfig(context.position.timestamp, context.records);
  result->stores = {kStore};
  return absl::OkStatus();
}

StoreId Machine::StoreOf(uint64_t nonce) const {
  for (const auto& [id, store] : state_.stores()) {
    if (store.nonce == nonce) return id;
  }
  return StoreId();
}

bool Machine::AnotherServes(StoreId but) const {
  for (const auto& [id, store] : state_.stores()) {
    if (id != but && store.state == StoreState::kServing) return true;
  }
  return false;
}

absl::Status Machine::CheckJoin(const Command& command) const {
  std::set<uint64_t> nonces;
  std::set<std::string> addresses;
  for (const JoiningStore& joining : command.joining) {
    if (!nonces.insert(joining.nonce).second || !addresses.insert(joining.address).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("two of the joining stores are the same one: ", Printable(joining.address)));
    }
    StoreId known = StoreOf(joining.nonce);
    const Store* store = state_.FindStore(known ? known : joining.lost);
    if (store != nullptr && store->state == StoreState::kGone) {
      return Removed(known ? known : joining.lost);
    }
  }
  return absl::OkStatus();
}

// A store that asks again, having missed the answer, keeps its id. An address is one store's: who
// had it before is gone, and so is who lost what it had promised. (That they are silent is for the
// leader to see before it proposes this.)
absl::Status Machine::Join(const Command& command, const Context& context, Result* result) {
  absl::Status status = CheckJoin(command);
  if (!status.ok()) return status;
  for (const JoiningStore& joining : command.joining) {
    StoreId id = StoreOf(joining.nonce);
    Store store = ToStore(joining);
    if (id) {
      store.state = state_.FindStore(id)->state;
      store.set_labels = state_.FindStore(id)->set_labels;
    } else {
      Ids ids = state_.ids();
      id = ids.next_store;
      ++ids.next_store;
      state_.Put(ids, context.records);
    }
    std::vector<StoreId> replaced;
    for (const auto& [other, known] : state_.stores()) {
      bool same = known.address == joining.address || (joining.lost && other == joining.lost);
      if (other != id && same && known.state != StoreState::kGone) replaced.push_back(other);
    }
    for (StoreId other : replaced) {
      Store gone = *state_.FindStore(other);
      gone.state = StoreState::kGone;
      state_.Put(other, gone, context.records);
    }
    state_.Put(id, store, context.records);
    result->stores.push_back(id);
  }
  return absl::OkStatus();
}

absl::Status Machine::UpdateStore(const Command& command, const Context& context) {
  const Store* known = state_.FindStore(command.store);
  if (known == nullptr) return UnknownStore(command.store);
  if (known->state == StoreState::kGone) return Removed(command.store);
  const JoiningStore& now = command.joining[0];
  for (const auto& [id, other] : state_.stores()) {
    if (id == command.store || other.state == StoreState::kGone) continue;
    if (other.address == now.address) {
      return absl::AlreadyExistsError(absl::StrCat("address ", Printable(now.address),
                                                   " is that of store ", id.value(),
                                                   ": one of the two needs another one"));
    }
  }
  Store store = ToStore(now);
  store.nonce = known->nonce;
  store.state = known->state;
  store.set_labels = known->set_labels;
  if (store != *known) state_.Put(command.store, store, context.records);
  return absl::OkStatus();
}

// An operator's word holds, whatever the store is started with.
absl::Status Machine::SetLabel(const Command& command, const Context& context) {
  const Store* known = state_.FindStore(command.store);
  if (known == nullptr) return UnknownStore(command.store);
  if (known->state == StoreState::kGone) return Removed(command.store);
  Store store = *known;
  // An empty one stands against what the store was started with.
  if (command.text.empty() && !store.labels.contains(command.name)) {
    store.set_labels.erase(command.name);
  } else {
    store.set_labels[command.name] = command.text;
  }
  if (store.set_labels.size() > kLabelsMax)
    return LimitError("labels", kLabelsMax, store.set_labels.size(), "labels");
  if (store != *known) state_.Put(command.store, store, context.records);
  return absl::OkStatus();
}

absl::Status Machine::SetStoreState(const Command& command, const Context& context) {
  const Store* known = state_.FindStore(command.store);
  if (known == nullptr) return UnknownStore(command.store);
  if (known->state == command.state) return absl::OkStatus();
  if (known->state == StoreState::kGone) return Removed(command.store);
  if (command.state != StoreState::kServing && !AnotherServes(command.store)) {
    return absl::FailedPreconditionError(
        absl::StrCat("store ", command.store.value(),
                     " is the last one that serves: what it has could go nowhere"));
  }
  if (command.state == StoreState::kGone && !command.lost && state_.HoldsReplica(command.store)) {
    return absl::FailedPreconditionError(
        absl::StrCat("store ", command.store.value(),
                     " still has replicas: drain it first, or say that it is lost"));
  }
  Store store = *known;
  store.state = command.state;
  state_.Put(command.store, store, context.records);
  return absl::OkStatus();
}

}  // namespace kvd::shardctrler
