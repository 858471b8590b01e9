// Which group owns which keys: shards that tile the key space, each from its start key to the next
// one's. Pure.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "proto/key_range.h"
#include "shardctrler/types.h"

namespace kvd::shardctrler {

class ShardMap {
 public:
  using Map = std::map<std::string, Shard, std::less<>>;
  using Position = Map::const_iterator;

  // By start key; the first one's is empty. Empty before the cluster is bootstrapped.
  const Map& shards() const { return shards_; }
  bool empty() const { return shards_.empty(); }
  size_t size() const { return shards_.size(); }

  // The shard that the key belongs to. Requires: !empty().
  Position At(std::string_view key) const;
  // end() if there is none of this id.
  Position Find(ShardId id) const;
  Position end() const { return shards_.end(); }
  KeyRange RangeOf(Position shard) const;
  // What a group owns.
  using Ids = absl::btree_set<ShardId>;
  const Ids& Of(GroupId group) const;

  // Adds a shard or replaces the one that begins there. Requires: no other one has its id.
  void Put(const std::string& start, const Shard& shard);
  // Its keys become those of the one before. Requires: there are both.
  void Erase(std::string_view start);
  void SetOperation(ShardId id, OperationId operation);
  void Clear();

  // Fails the process if what belongs together does not.
  void CheckState() const;

 private:
  void Forget(const Shard& shard);

  Map shards_;
  absl::flat_hash_map<ShardId, Map::iterator> by_id_;
  absl::flat_hash_map<GroupId, Ids> by_group_;  // none is empty
};

}  // namespace kvd::shardctrler
