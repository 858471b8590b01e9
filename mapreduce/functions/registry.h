// The built-in functions by their names. Thread-safe.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "mapreduce/function.h"
#include "mapreduce/functions/parameters.h"

namespace kvd::mapreduce {

enum class Role { kMap, kReduce };

struct FunctionInfo {
  const char* name;
  Role role;
  const char* help;
  std::vector<ParameterInfo> parameters;
  // Of a reduce function: see ReduceTaskOptions::reduce_keeps_order.
  bool keeps_order;
};

// By name.
std::vector<FunctionInfo> ListFunctions();

// NOT_FOUND naming those of that role that there are; INVALID_ARGUMENT naming the parameter.
absl::StatusOr<std::unique_ptr<MapFunction>> MakeMap(std::string_view name,
                                                     const Parameters& parameters);
absl::StatusOr<std::unique_ptr<ReduceFunction>> MakeReduce(std::string_view name,
                                                           const Parameters& parameters);
// NOT_FOUND as above.
absl::StatusOr<FunctionInfo> FindFunction(Role role, std::string_view name);

}  // namespace kvd::mapreduce
