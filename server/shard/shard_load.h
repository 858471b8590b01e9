// What the shards of a group take and are asked: bytes, reads and writes a second, and which keys.
// Each replica counts for itself; the leader's is what the controller is told. Estimates: nothing
// that is replicated depends on them.
//
// Lives on the group's loop. Deterministic by its seed.
#pragma once

#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "proto/ids.h"
#include "raft/runtime/random.h"
#include "raft/runtime/time.h"

namespace kvd::shard {

struct ShardStats {
  uint64_t bytes = 0;  // 0: nothing, or not measured yet
  bool measured = false;
  double reads = 0;   // a second, over the last seconds
  double writes = 0;  // a second

  double load() const { return reads + writes; }
};

// Where keys, as they were sampled, part into halves that differ least; and which one of them is
// more than half of all.
struct LoadSplit {
  std::string key;  // the right half's first; empty: no split takes away a fifth
  std::string hot_key;
  uint32_t hot_percent = 0;
};
LoadSplit SplitByLoad(std::vector<std::string> samples);

class ShardLoad {
 public:
  explicit ShardLoad(uint64_t seed) : random_(seed) {}

  void NoteRead(ShardId shard, std::string_view key) { Note(shard, key, 0, /*write=*/false); }
  void NoteWrite(ShardId shard, std::string_view key, size_t bytes) {
    Note(shard, key, bytes, /*write=*/true);
  }
  // About once a second: what was counted since becomes rates.
  void Roll(MonotonicTime now);

  // The shard's size, as measured now.
  void NoteBytes(ShardId shard, uint64_t bytes, MonotonicTime now);
  // Whether its size is not known, or is another by now.
  bool NeedsMeasuring(ShardId shard, MonotonicTime now) const;
  // It is another shard by now, or gone: of what it was nothing holds any more.
  void Forget(ShardId shard) { shards_.erase(shard); }
  void Clear() { shards_.clear(); }

  // Whether its rates can be told: it was counted here for some seconds.
  bool Ripe(ShardId shard) const;
  ShardStats Stats(ShardId shard) const;
  LoadSplit Split(ShardId shard) const;

 private:
  struct Entry {
    uint64_t reads = 0;
    uint64_t writes = 0;
    double read_rate = 0;
    double write_rate = 0;
    uint32_t rolls = 0;
    uint64_t bytes = 0;
    uint64_t written = 0;  // bytes since it was measured
    MonotonicTime measured_at = kLongAgo;
    std::vector<std::string> samples;  // of the last seconds
    size_t next_sample = 0;
    uint64_t sample_each = 1;   // about every so many operations
    uint64_t until_sample = 1;  // operations
  };

  void Note(ShardId shard, std::string_view key, size_t bytes, bool write);

  Random random_;
  absl::flat_hash_map<ShardId, Entry> shards_;
  MonotonicTime rolled_at_ = kLongAgo;
};

}  // namespace kvd::shard
