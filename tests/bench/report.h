// What a run has shown, as JSON or as text.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "tests/bench/options.h"

namespace kvd::bench {

// Readings of one run: of CPU time from the end of the warm-up to the end of the measurement, of
// the servers' counters around it all.
struct Readings {
  Usage usage_before, usage_after;
  Counters counters_before, counters_after;
};

// Count, mean, percentiles and maximum, in milliseconds.
nlohmann::json LatencyJson(const Histogram& histogram);
// One object; rates of syncs and batches are 0 without metrics pages.
std::string JsonReport(const Options& options, const LoadResult& result, const Readings& readings);
// The same in some lines of text.
std::string TextReport(const std::string& json);

}  // namespace kvd::bench
