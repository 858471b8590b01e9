// Decides whether a recorded history of one key's operations is linearizable: whether each
// operation can be given an instant between its call and its return such that the results are those
// of a sequential run. Wing and Gong's search (1993) with Lowe's pruning of configurations seen
// before (2017). Histories of several keys are checked key by key, which is sound and complete for
// linearizability (Herlihy and Wing's locality, 1990).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace kvd::check {

struct Operation {
  enum class Kind { kGet, kPut, kAppend, kDelete, kIncrement, kCompareAndPut };
  Kind kind = Kind::kGet;
  // What was asked.
  std::string argument;                 // kPut, kAppend, kCompareAndPut: the new bytes
  std::optional<std::string> expected;  // kCompareAndPut: nullopt means "missing"
  int64_t delta = 0;                    // kIncrement
  // What was answered; meaningless if not `known`.
  std::optional<std::string> value;  // kGet
  uint64_t length = 0;               // kAppend
  int64_t counter = 0;               // kIncrement
  bool flag = false;                 // kDelete: existed; kCompareAndPut: applied
  // The outcome is known. If not, the operation may have happened at any time after its call, or
  // never.
  bool known = true;
  int64_t called = 0;
  int64_t returned = 0;  // ignored if not known
};

enum class Verdict { kLinearizable, kNotLinearizable, kUndecided };

// `steps_max` bounds the search; an undecided history counts as a failure.
Verdict CheckLinearizable(const std::vector<Operation>& history,
                          const std::optional<std::string>& initial = std::nullopt,
                          uint64_t steps_max = 20'000'000);

std::string Describe(const Operation& operation);

// The end of the shortest part of a bad history that is bad by itself, for a person to read.
std::string Explain(std::vector<Operation> history, size_t lines_max = 30);

}  // namespace kvd::check
