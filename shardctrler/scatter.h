// What an operator asks for: the shards of a range evenly over the groups. Pure.
#pragma once

#include "proto/key_range.h"
#include "shardctrler/load.h"

namespace kvd::shardctrler {

struct Scattering {
  uint64_t shards = 0;  // that begin in the range
  std::vector<Operation> moves;
  uint64_t busy = 0;  // that should move, and are part of something else
};

// With as few moves as it takes, at most `most`: what is under way counts as done. Of the shards
// that go, the heaviest go to the groups that have least, so that little is left for balance to do.
// `load`: null if nothing is known; then all weigh the same.
Scattering ScatterShards(const State& state, const ClusterLoad* load, const KeyRange& range,
                         size_t most);

}  // namespace kvd::shardctrler
