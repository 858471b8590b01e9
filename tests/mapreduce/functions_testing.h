// What tests of functions have in common: calling them on records, and whole jobs by their recipe.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "mapreduce/functions/parameters.h"
#include "mapreduce/functions/recipes.h"
#include "tests/mapreduce/local_job.h"

namespace kvd::mapreduce {

using Pairs = std::vector<std::pair<std::string, std::string>>;

// Keeps what is emitted.
class KeepingEmitter final : public Emitter {
 public:
  absl::Status Emit(std::string_view key, std::string_view value) override {
    pairs.emplace_back(key, value);
    return absl::OkStatus();
  }
  void Count(std::string_view counter, int64_t delta) override {
    counters[std::string(counter)] += delta;
  }

  Pairs pairs;
  Counters counters;
};

// What the built-in map function emits for the records, in one batch.
absl::StatusOr<Pairs> MapPairs(std::string_view function, const Parameters& parameters,
                               const Pairs& records, Counters* counters = nullptr);

// The same of what can't fail.
Pairs Mapped(std::string_view function, const Parameters& parameters, const Pairs& records,
             Counters* counters = nullptr);

// Runs a job as its recipe says over the records, in slices of `slice_records`, with memory for
// few of them; all rows of the output, reducer by reducer.
absl::StatusOr<Pairs> RunRecipe(const std::string& name, const Parameters& map_parameters,
                                const Parameters& reduce_parameters, const Pairs& records,
                                size_t slice_records = 500, uint64_t memory_bytes = 64 << 10);

// Records of lines of words that read like text, of which few are frequent.
Pairs TextRecords(size_t count, uint32_t seed);

}  // namespace kvd::mapreduce
