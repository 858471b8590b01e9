#include "shardctrler/shard_map.h"

#include "proto/check.h"

namespace kvd::shardctrler {

ShardMap::Position ShardMap::At(std::string_view key) const {
  KVD_CHECK(!shards_.empty());
  return std::prev(shards_.upper_bound(key));
}

ShardMap::Position ShardMap::Find(ShardId id) const {
  auto it = by_id_.find(id);
  return it == by_id_.end() ? shards_.end() : Position(it->second);
}

KeyRange ShardMap::RangeOf(Position shard) const {
  auto next = std::next(shard);
  return {shard->first, next == shards_.end() ? std::string() : next->first};
}

const ShardMap::Ids& ShardMap::Of(GroupId group) const {
  static const Ids none;
  auto it = by_group_.find(group);
  return it == by_group_.end() ? none : it->second;
}

void ShardMap::Put(const std::string& start, const Shard& shard) {
  auto [it, added] = shards_.try_emplace(start, shard);
  if (!added) {
    Forget(it->second);
    it->second = shard;
  }
  KVD_CHECK(by_id_.emplace(shard.id, it).second);
  by_group_[shard.group].insert(shard.id);
}

void ShardMap::Erase(std::string_view start) {
  auto it = shards_.find(start);
  KVD_CHECK(it != shards_.end() && it != shards_.begin());
  Forget(it->second);
  shards_.erase(it);
}

void ShardMap::Forget(const Shard& shard) {
  by_id_.erase(shard.id);
  auto owner = by_group_.find(shard.group);
  owner->second.erase(shard.id);
  if (owner->second.empty()) by_group_.erase(owner);
}

void ShardMap::SetOperation(ShardId id, OperationId operation) {
  auto it = by_id_.find(id);
  KVD_CHECK(it != by_id_.end());
  it->second->second.operation = operation;
}

void ShardMap::Clear() {
  shards_.clear();
  by_id_.clear();
  by_group_.clear();
}

void ShardMap::CheckState() const {
  KVD_CHECK(shards_.empty() || shards_.begin()->first.empty());
  KVD_CHECK(by_id_.size() == shards_.size());
  size_t owned = 0;
  for (const auto& [group, ids] : by_group_) owned += ids.size();
  KVD_CHECK(owned == shards_.size());
  for (auto it = shards_.begin(); it != shards_.end(); ++it) {
    KVD_CHECK(it->second.id && it->second.epoch && it->second.group);
    KVD_CHECK(Find(it->second.id) == it);
    KVD_CHECK(Of(it->second.group).contains(it->second.id));
  }
}

}  // namespace kvd::shardctrler
