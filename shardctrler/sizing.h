// Which shards should be split, because they are large or asked a lot, and which neighbours merged,
// because they are neither (design, 7). Pure. Private to the scheduler.
#pragma once

#include "shardctrler/scheduler.h"

namespace kvd::shardctrler {

struct SizeLimits {
  uint64_t bytes = 0;  // a shard of more is split
  double load = 0;     // one that is asked more a second is; 0: none
};

// A shard is the unit of balance: while there is little, shards are smaller, so that every group
// gets some.
SizeLimits LimitsFor(const State& state, const ClusterLoad& load);

// Splits, at most `most` of them.
std::vector<Operation> SplitShards(const State& state, const ClusterLoad& load, size_t most);
// Merges, at most `most`, of shards from `view.merges_from` on; and moves, at most `moves`, of
// those that would be merged if they were in one group: as soon as such a move is over, the merge
// is next, wherever the others are looked for by then.
struct Merges {
  std::vector<Operation> operations;
  // Where to look on, next time: at the first pair for which there were too few left, so that none
  // is passed over, or behind those that were looked at.
  std::string next;
};
Merges MergeShards(const State& state, const View& view, size_t most, size_t moves);

}  // namespace kvd::shardctrler
