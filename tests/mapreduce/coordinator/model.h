// What jobs of the simulator read and compute: versioned rows, a few functions over them, and the
// same job done in one go, which what the runner makes of it is compared with. Pure.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mapreduce/coordinator/protocol.h"

namespace kvd::jobs {

using Pairs = std::vector<std::pair<std::string, std::string>>;

// Rows with their history, as far back as it is kept.
class ModelData {
 public:
  void Write(const std::string& key, const std::string& value, Timestamp at) {
    rows_[key][at] = value;
  }
  void Erase(const std::string& key, Timestamp at) { rows_[key][at] = std::nullopt; }
  Pairs Read(const KeyRange& range, Timestamp at) const;
  // What is not visible at `safe_point` or later is dropped.
  void Forget(Timestamp safe_point);
  Timestamp safe_point() const { return safe_point_; }

 private:
  std::map<std::string, std::map<Timestamp, std::optional<std::string>>> rows_;
  Timestamp safe_point_;
};

// What a map or reduce attempt makes of its input.
struct ModelFile {
  std::vector<Pairs> partitions;
  uint64_t bytes = 0;
  uint64_t records = 0;
  Counters counters;
  Hash hash;
  bool damaged = false;
};

// Empty: the record that `bad` then names is at fault.
std::optional<ModelFile> RunMap(const JobSpec& spec, const Pairs& records, uint32_t partitions,
                                const std::vector<std::string>& splitters,
                                const std::vector<std::string>& skip, BadRecord* bad);
// Of one partition of each map.
ModelFile RunReduce(const JobSpec& spec, const std::vector<const Pairs*>& sources);

std::vector<SampledKey> RunSample(const JobSpec& spec, const Pairs& records);
std::vector<std::string> ModelSplitters(const std::vector<std::string>& keys, uint32_t partitions);

// The whole job in one go, without bad records.
struct Reference {
  Pairs rows;
  Counters counters;
  uint64_t bad = 0;
};
Reference RunAtOnce(const JobSpec& spec, const Pairs& records);

}  // namespace kvd::jobs
