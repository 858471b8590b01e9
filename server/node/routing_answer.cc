#include "server/node/routing_answer.h"

namespace kvd::node {
namespace {

using shardctrler::Table;

void AddChange(const shardctrler::State& state, const std::string& key, v1::RoutingResponse* out) {
  switch (static_cast<Table>(key[0])) {
    case Table::kStores: {
      StoreId id(*shardctrler::NumberOf(key));
      *out->add_stores() = StoreMessage(id, *state.FindStore(id));
      return;
    }
    case Table::kGroups: {
      GroupId id(*shardctrler::NumberOf(key));
      const shardctrler::Group* group = state.FindGroup(id);
      if (group == nullptr) return out->add_removed_groups(id.value());
      *out->add_groups() = GroupMessage(id, *group);
      return;
    }
    case Table::kShards: {
      std::string start(shardctrler::NameOf(key));
      auto shard = state.shards().shards().find(start);
      if (shard == state.shards().shards().end()) return out->add_removed_shards(start);
      *out->add_shards() = ShardMessage(start, shard->second);
      return;
    }
    default: return;
  }
}

void AddPage(const shardctrler::State& state, const std::string& from, v1::RoutingResponse* out) {
  const auto& shards = state.shards().shards();
  for (auto it = shards.lower_bound(from); it != shards.end(); ++it) {
    if (static_cast<size_t>(out->shards_size()) == kRoutingShardsMax) {
      out->set_next_key(it->first);
      return;
    }
    *out->add_shards() = ShardMessage(it->first, it->second);
  }
}

}  // namespace

v1::RoutingResponse::Store StoreMessage(StoreId id, const shardctrler::Store& store) {
  v1::RoutingResponse::Store out;
  out.set_store_id(id.value());
  out.set_address(store.address);
  switch (store.state) {
    case shardctrler::StoreState::kServing: out.set_state(out.SERVING); break;
    case shardctrler::StoreState::kDraining: out.set_state(out.DRAINING); break;
    case shardctrler::StoreState::kGone: out.set_state(out.GONE); break;
  }
  out.set_cores(store.cores);
  for (const auto& [name, value] : store.AllLabels()) (*out.mutable_labels())[name] = value;
  return out;
}

v1::RoutingResponse::Group GroupMessage(GroupId id, const shardctrler::Group& group) {
  v1::RoutingResponse::Group out;
  out.set_group_id(id.value());
  for (const shardctrler::Replica& r : group.replicas) {
    auto* replica = out.add_replicas();
    replica->set_replica_id(r.id.value());
    replica->set_store_id(r.store.value());
  }
  return out;
}

v1::RoutingResponse::Shard ShardMessage(const std::string& start, const shardctrler::Shard& shard) {
  v1::RoutingResponse::Shard out;
  out.set_start(start);
  out.set_shard_id(shard.id.value());
  out.set_epoch(shard.epoch.value());
  out.set_group_id(shard.group.value());
  return out;
}

v1::RoutingResponse AnswerRouting(const shardctrler::Machine& machine,
                                  const v1::RoutingRequest& request) {
  const shardctrler::State& state = machine.state();
  v1::RoutingResponse out;
  out.set_cluster_id(state.ids().cluster.value());
  out.set_config(state.ids().config.value());
  out.set_version(machine.changes().upto().value());
  auto changed =
      request.version() == 0 ? std::nullopt : machine.changes().Since(Timestamp(request.version()));
  if (changed && request.next_key().empty()) {
    for (const std::string& key : *changed) AddChange(state, key, &out);
    return out;
  }
  out.set_whole(true);
  // Pages hold at the version of the first one: what has changed since then is asked for next.
  if (changed) {
    out.set_version(request.version());
    AddPage(state, request.next_key(), &out);
    return out;
  }
  for (const auto& [id, store] : state.stores()) *out.add_stores() = StoreMessage(id, store);
  for (const auto& [id, group] : state.groups()) *out.add_groups() = GroupMessage(id, group);
  AddPage(state, "", &out);
  return out;
}

}  // namespace kvd::node
