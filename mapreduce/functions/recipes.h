// Common jobs: which functions each is made of.
#pragma once

#include <optional>
#include <vector>

#include "mapreduce/dataflow/aggregator.h"

namespace kvd::mapreduce {

struct Recipe {
  // As a job's Order.
  enum class Order { kNone, kWithinPartition, kTotal };

  const char* name;
  const char* help;
  const char* map;
  // Null: none.
  const char* combine = nullptr;
  std::optional<AggregatorSpec> aggregator;
  const char* reduce = nullptr;
  Order order = Order::kNone;
};

// By name. The functions' parameters are the job's.
std::vector<Recipe> Recipes();

}  // namespace kvd::mapreduce
