// Parameters of built-in functions: what each one takes, and reading what a job gave.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace kvd::mapreduce {

using Parameters = std::map<std::string, std::string>;

struct ParameterInfo {
  const char* name;
  // What it is if it is not given; null: it must be.
  const char* fallback;
  const char* help;
};

// INVALID_ARGUMENT naming the function and the parameter if one is unknown, with those that there
// are, or if one is missing.
absl::Status CheckParameters(std::string_view function, const std::vector<ParameterInfo>& known,
                             const Parameters& given);

// Requires: CheckParameters is OK. The first wrong value is kept in status(). Used by one thread.
class ParameterReader {
 public:
  ParameterReader(std::string_view function, const std::vector<ParameterInfo>& known,
                  const Parameters& given)
      : function_(function), known_(known), given_(given) {}

  std::string Text(std::string_view name) const;
  // true or false.
  bool Flag(std::string_view name);
  uint64_t Number(std::string_view name, uint64_t least, uint64_t most);
  // Which of them it is.
  size_t Choice(std::string_view name, std::initializer_list<const char*> choices);
  // As a function says of a value that makes no sense.
  void Wrong(std::string_view name, std::string_view why);
  const absl::Status& status() const { return status_; }

 private:
  const std::string_view function_;
  const std::vector<ParameterInfo>& known_;
  const Parameters& given_;
  absl::Status status_;
};

}  // namespace kvd::mapreduce
