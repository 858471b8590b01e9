// Which shards should go to another group, so that all have about as much to do (design, 7). Pure.
#pragma once

#include "shardctrler/scheduler.h"

namespace kvd::shardctrler {

// Moves, at most `most`. `taken`: shards that are being begun on already.
std::vector<Operation> BalanceShards(const State& state, const View& view, size_t most,
                                     const std::set<ShardId>& taken);

// What an operator asks for: the shards of a range evenly over the groups, with as few moves as
// that takes.
struct Scattering {
  uint64_t shards = 0;  // that begin in the range
  std::vector<Operation> moves;
  uint64_t busy = 0;  // that should move, and are part of something else
};
Scattering ScatterShards(const State& state, const KeyRange& range, size_t most);

}  // namespace kvd::shardctrler
