// Which shards should go to another group, so that all have about as much to do (design, 7). Pure.
#pragma once

#include "shardctrler/scheduler.h"

namespace kvd::shardctrler {

// Moves, at most `most`. `taken`: shards that are being begun on already.
std::vector<Operation> BalanceShards(const State& state, const View& view, size_t most,
                                     const std::set<ShardId>& taken);

}  // namespace kvd::shardctrler
