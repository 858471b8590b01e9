// Who should lead which group: leaders spread over stores, and away from those that are slow or
// drain (design, 7). Pure.
#pragma once

#include <vector>

#include "shardctrler/scheduler.h"

namespace kvd::shardctrler {

struct Transfer {
  GroupId group;
  StoreId from;
  StoreId to;

  bool operator==(const Transfer&) const = default;
};

// Transfers that bring the leaders closer to where they should be, at most `most`, none of them
// between stores of which `view` knows too little.
std::vector<Transfer> SpreadLeaders(const State& state, const View& view, size_t most);

}  // namespace kvd::shardctrler
