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
// those that would be merged if they were in one group.
std::vector<Operation> MergeShards(const State& state, const View& view, size_t most, size_t moves);

// Where to look on, next time.
std::string NextMerges(const State& state, const std::string& from);

}  // namespace kvd::shardctrler
