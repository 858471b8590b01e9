// Where replicas should be: repair, growth, and balance over stores (design, 7). Pure. Private to
// the scheduler.
#pragma once

#include "shardctrler/scheduler.h"

namespace kvd::shardctrler {

// Changes of replicas and new groups, at most `most`, the most urgent first.
std::vector<Operation> PlaceReplicas(const State& state, const View& view, size_t most);

}  // namespace kvd::shardctrler
