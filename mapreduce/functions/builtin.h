// What a built-in function is to the registry, and what they share. Each file of this folder
// defines some of them; registry.h is how others get at them.
#pragma once

#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "mapreduce/function.h"
#include "mapreduce/functions/parameters.h"

namespace kvd::mapreduce {

struct Builtin {
  const char* name;
  // One line.
  const char* help;
  std::vector<ParameterInfo> parameters;
  // Make the function; what is wrong with a parameter's value is noted in the reader. One of both.
  std::function<std::unique_ptr<MapFunction>(ParameterReader*)> map;
  std::function<std::unique_ptr<ReduceFunction>(ParameterReader*)> reduce;
  // Of a reduce function: it emits keys in the order in which it is called with them.
  bool keeps_order = true;
};

std::vector<Builtin> BasicBuiltins();
std::vector<Builtin> TextBuiltins();
std::vector<Builtin> FieldBuiltins();
std::vector<Builtin> JoinBuiltins();
std::vector<Builtin> ListBuiltins();

// An error that `record` is at fault for, if it is INVALID_ARGUMENT (a value that is no number, a
// pair that is too great); any other is given back as it is.
absl::Status Blame(const absl::Status& status, std::string_view function, const Record& record);

}  // namespace kvd::mapreduce
