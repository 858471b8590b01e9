// Commands of the controller as tests write them.
#pragma once

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "shardctrler/command.h"

namespace kvd::shardctrler {

inline JoiningStore StoreNumber(uint64_t n, std::string zone = "", uint32_t cores = 1) {
  JoiningStore store;
  store.address = absl::StrCat("10.0.0.", n, ":7480");
  store.nonce = 1000 + n;
  store.cores = 4 * cores;  // a group for each of `cores`
  if (!zone.empty()) store.labels["zone"] = std::move(zone);
  return store;
}

inline Command BootstrapCommand(uint32_t cores = 1) {
  Command c;
  c.kind = CommandKind::kBootstrap;
  c.cluster = ClusterId(77);
  c.joining = {StoreNumber(1, "", cores)};
  return c;
}

inline Command JoinCommand(std::vector<JoiningStore> stores) {
  Command c;
  c.kind = CommandKind::kJoin;
  c.joining = std::move(stores);
  return c;
}

inline Command StateCommand(uint64_t store, StoreState state, bool lost = false) {
  Command c;
  c.kind = CommandKind::kSetStoreState;
  c.store = StoreId(store);
  c.state = state;
  c.lost = lost;
  return c;
}

inline Command OpenCommand(Operation operation) {
  Command c;
  c.kind = CommandKind::kOpen;
  c.operation = std::move(operation);
  return c;
}

inline Command RecoverCommand(const std::vector<uint64_t>& gone) {
  Command c;
  c.kind = CommandKind::kRecover;
  for (uint64_t store : gone) c.stores.emplace_back(store);
  return c;
}

inline Command AdoptCommand(uint64_t group, std::vector<Replica> members,
                            const std::vector<uint64_t>& expelled) {
  Command c;
  c.kind = CommandKind::kAdoptMembers;
  c.operation.kind = OperationKind::kChangeReplicas;
  c.operation.group = GroupId(group);
  c.operation.added = std::move(members);
  for (uint64_t id : expelled) c.operation.removed.emplace_back(id);
  return c;
}

inline Command AdvanceCommand(OperationId id, Phase from, Phase to) {
  Command c;
  c.kind = CommandKind::kAdvance;
  c.id = id;
  c.phase = from;
  c.next = to;
  return c;
}

inline Command SetCommand(std::string name, uint64_t value) {
  Command c;
  c.kind = CommandKind::kSet;
  c.name = std::move(name);
  c.value = value;
  return c;
}

inline Operation MoveOf(uint64_t shard, uint64_t to) {
  Operation o;
  o.kind = OperationKind::kMove;
  o.shard = ShardId(shard);
  o.to = GroupId(to);
  return o;
}

inline Operation SplitOf(uint64_t shard, std::string key) {
  Operation o;
  o.kind = OperationKind::kSplit;
  o.shard = ShardId(shard);
  o.key = std::move(key);
  return o;
}

inline Operation MergeOf(uint64_t left) {
  Operation o;
  o.kind = OperationKind::kMerge;
  o.shard = ShardId(left);
  return o;
}

inline Operation GroupOn(const std::vector<uint64_t>& stores) {
  Operation o;
  o.kind = OperationKind::kCreateGroup;
  for (uint64_t s : stores) o.added.push_back({ReplicaId(), StoreId(s)});
  return o;
}

inline Operation RetirementOf(uint64_t group) {
  Operation o;
  o.kind = OperationKind::kRetireGroup;
  o.group = GroupId(group);
  return o;
}

inline Operation ChangeOf(uint64_t group, const std::vector<uint64_t>& stores,
                          const std::vector<uint64_t>& removed) {
  Operation o;
  o.kind = OperationKind::kChangeReplicas;
  o.group = GroupId(group);
  for (uint64_t s : stores) o.added.push_back({ReplicaId(), StoreId(s)});
  for (uint64_t r : removed) o.removed.push_back(ReplicaId(r));
  return o;
}

// The phases that an operation goes through, if nobody cancels it.
inline Phase NextOf(const Operation& o) {
  if (o.phase == Phase::kCancelling) return Phase::kCancelled;
  if (o.kind != OperationKind::kMove) return Phase::kDone;
  return static_cast<Phase>(o.phase == Phase::kPublished ? static_cast<int>(Phase::kDone)
                                                         : static_cast<int>(o.phase) + 1);
}

}  // namespace kvd::shardctrler
