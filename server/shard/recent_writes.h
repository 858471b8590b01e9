// Which keys of shards that are being copied away were written lately: the next round of a move
// then need not look through the whole shard. In memory on each replica; what is not known of is
// found in the engine.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "proto/shard.h"

namespace kvd::shard {

class RecentWrites {
 public:
  struct Shard {
    KeyRange range;
    // Every key with a version above is among the keys.
    Timestamp since;
    std::map<std::string, Timestamp, std::less<>> keys;  // the newest version of each
    size_t bytes = 0;
  };

  explicit RecentWrites(size_t bytes_max) : bytes_max_(bytes_max) {}

  bool empty() const { return shards_.empty(); }
  const Shard* Find(ShardId id) const {
    auto it = shards_.find(id);
    return it != shards_.end() ? &it->second : nullptr;
  }

  // The shard is being copied away, and nothing was written to it after `now` yet.
  void Watch(const ShardDescriptor& shard, Timestamp now) {
    Shard& watched = shards_[shard.id];
    if (!watched.since) watched.since = now;
    watched.range = shard.range;
    if (shard.copied <= watched.since) return;
    // The other end has those.
    std::erase_if(watched.keys, [&](const auto& entry) {
      bool has = entry.second <= shard.copied;
      if (has) watched.bytes -= CostOf(entry.first);
      return has;
    });
    watched.since = shard.copied;
  }
  void Forget(ShardId id) { shards_.erase(id); }
  void Clear() { shards_.clear(); }

  void Note(std::string_view key, Timestamp timestamp) {
    for (auto& [id, shard] : shards_) {
      if (!shard.range.Contains(key)) continue;
      auto known = shard.keys.find(key);
      if (known != shard.keys.end()) {
        known->second = timestamp;
        return;
      }
      shard.bytes += CostOf(key);
      shard.keys.emplace(key, timestamp);
      if (shard.bytes <= bytes_max_) return;
      // More than is worth it: from here on anew.
      shard.keys.clear();
      shard.bytes = 0;
      shard.since = timestamp;
      return;
    }
  }

 private:
  static size_t CostOf(std::string_view key) { return key.size() + 96; }

  const size_t bytes_max_;
  std::map<ShardId, Shard> shards_;
};

}  // namespace kvd::shard
