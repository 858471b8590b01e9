// What a benchmark asks for: a mix of operations over keys, drawn as YCSB draws them (Cooper et
// al., "Benchmarking Cloud Serving Systems with YCSB", 2010). Everything follows from the seed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "raft/runtime/random.h"

namespace kvd::bench {

enum class Kind { kGet, kStaleGet, kPut, kScan, kReadModifyWrite, kKinds };
const char* NameOf(Kind kind);

struct Operation {
  Kind kind = Kind::kGet;
  std::string key;
  std::string value;  // kPut, kReadModifyWrite
  uint32_t rows = 0;  // kScan
};

struct WorkloadOptions {
  std::string name = "put";  // put, get, stale-get, scan, load, ycsb-a to ycsb-f
  uint64_t keys = 100'000;
  uint64_t first_key = 0;  // load: begins with this one
  uint32_t value_bytes_min = 256;
  uint32_t value_bytes_max = 256;
  bool zipfian = false;
  uint32_t scan_rows = 100;
  uint64_t seed = 1;
};

class Workload {
 public:
  // INVALID_ARGUMENT for an unknown name.
  static absl::StatusOr<Workload> Make(const WorkloadOptions& options);

  Operation Next();
  static std::string KeyOf(uint64_t n);

 private:
  // Per thousand.
  struct Mix {
    uint32_t get = 0, stale_get = 0, put = 0, insert = 0, scan = 0, modify = 0;
    bool latest = false;  // reads prefer what was inserted last
    bool zipfian = false;
    bool in_order = false;     // puts every key once, from the first on
    bool short_scans = false;  // 1 to scan_rows rows, not always so many
  };
  static absl::StatusOr<Mix> MixOf(std::string_view name);

  Workload(const WorkloadOptions& options, const Mix& mix);
  uint64_t Pick();
  uint64_t Zipf();
  std::string Value();

  WorkloadOptions options_;
  Mix mix_;
  Random random_;
  uint64_t inserted_;
  uint64_t next_in_order_ = 0;
  std::string bytes_;
  // Of the zipfian distribution (Gray et al., "Quickly Generating Billion-Record Synthetic
  // Databases", 1994).
  double theta_ = 0.99, zeta_ = 0, alpha_ = 0, eta_ = 0;
};

}  // namespace kvd::bench
