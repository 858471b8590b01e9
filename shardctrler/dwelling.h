// Which shards have moved so lately that they stay where they are: what stores tell of loads lags
// behind, and what has just come would go back by it. The leader's memory, of the records of moves
// that are over. Pure.
#pragma once

#include <set>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "raft/runtime/time.h"
#include "shardctrler/state.h"

namespace kvd::shardctrler {

// How long a shard that an operator moved stays, at least.
inline constexpr Duration kDwellByHand = std::chrono::hours(1);

class Dwelling {
 public:
  // Takes in the moves that have ended, and forgets those of long ago. A new leader takes all moves
  // that it has a record of for recent ones. Requires: `now` does not fall.
  void Follow(const State& state, MonotonicTime now);
  // Whether the scheduler leaves the shard where it is.
  bool Has(ShardId id) const { return until_.contains(id); }
  size_t size() const { return until_.size(); }
  // Rises with each change.
  uint64_t version() const { return version_; }
  void Clear();

 private:
  void Note(ShardId id, MonotonicTime until);

  absl::flat_hash_map<ShardId, MonotonicTime> until_;
  std::set<std::pair<MonotonicTime, ShardId>> ends_;  // the same, by time
  Timestamp upto_;                                    // ends of operations up to here were taken in
  uint64_t followed_ = 0;                             // version of the state
  uint64_t version_ = 1;
};

}  // namespace kvd::shardctrler
