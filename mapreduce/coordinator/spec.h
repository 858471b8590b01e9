// What a job is to do, as it was submitted, and what is told to be wrong with it before it begins.
// Values and pure functions. The fields are those of proto/kvd/v1/jobs.proto.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "mapreduce/coordinator/settings.h"
#include "proto/codec.h"
#include "proto/key_range.h"
#include "proto/timestamp.h"

namespace kvd::jobs {

enum class CodeKind : uint8_t { kNone = 0, kBuiltin = 1, kLua = 2, kNative = 3 };

struct Code {
  CodeKind kind = CodeKind::kNone;
  std::string text;  // a name, or the source
  std::map<std::string, std::string> parameters;

  explicit operator bool() const { return kind != CodeKind::kNone; }
  bool operator==(const Code&) const = default;
};

enum class Aggregator : uint8_t {
  kNone = 0,
  kSum = 1,
  kCount = 2,
  kMin = 3,
  kMax = 4,
  kTopK = 5,
  kHll = 6,
};

enum class Order : uint8_t { kNone = 0, kWithinPartition = 1, kTotal = 2 };

enum class OutputKind : uint8_t {
  kReplace = 1,  // rows under a prefix take the place of all that is there, at one instant
  kMerge = 2,    // rows under a prefix are added to what is there
  kJsonLines = 3,
  kCsv = 4,
  kInline = 5,
};

struct Destination {
  OutputKind kind = OutputKind::kInline;
  std::string prefix;  // of kReplace and kMerge

  bool IsKeys() const { return kind <= OutputKind::kMerge; }
  bool IsFiles() const { return kind == OutputKind::kJsonLines || kind == OutputKind::kCsv; }
  bool operator==(const Destination&) const = default;
};

// What a job may use; 0: the default.
struct JobLimits {
  uint64_t memory_bytes = 0;
  uint64_t cpu_ms = 0;
  uint64_t spill_bytes = 0;
  uint32_t attempts = 0;
  uint64_t bad_records = 0;  // 0: none is skipped
  uint64_t deadline_ms = 0;  // 0: none
  uint64_t output_bytes = 0;
  uint32_t concurrency = 0;  // 0: no limit

  bool operator==(const JobLimits&) const = default;
};

struct JobSpec {
  std::string name;
  std::vector<KeyRange> inputs;
  Timestamp timestamp;  // 0: when it begins
  Code map;
  Code combine;
  Code reduce;
  Code partition;
  Aggregator aggregator = Aggregator::kNone;
  uint32_t top = 0;
  Order order = Order::kNone;
  uint32_t reducers = 0;  // 0: by the size of the input
  Destination output;
  JobLimits limits;
  uint32_t priority = 0;
  bool incremental = false;
  uint64_t slice_bytes = 0;  // 0: kSliceBytesDefault

  bool operator==(const JobSpec&) const = default;
};

enum class Role : uint8_t { kMap, kCombine, kReduce, kPartition };

// Which code there is.
class FunctionCatalog {
 public:
  virtual ~FunctionCatalog() = default;
  // NOT_FOUND or INVALID_ARGUMENT that names role, function and what is wrong with it or with a
  // parameter; of Lua whether it compiles.
  virtual absl::Status Check(Role role, const Code& code) const = 0;
};

// INVALID_ARGUMENT naming field, value and limit. Without a catalog names are not looked up.
absl::Status Validate(const JobSpec& spec, const Settings& settings,
                      const FunctionCatalog* catalog = nullptr);

// With what holds where the job says nothing, within what the operator allows.
JobLimits Effective(const JobLimits& limits, const Settings& settings);
inline constexpr uint64_t kSliceBytesDefault = 64 << 20;
inline uint64_t SliceBytes(const JobSpec& spec) {
  return spec.slice_bytes == 0 ? kSliceBytesDefault : spec.slice_bytes;
}

// Nothing is folded or ordered over the whole: what map tasks leave is the output.
bool IsDirect(const JobSpec& spec);
// The inputs by where they begin.
std::vector<KeyRange> SortedInputs(const JobSpec& spec);
// Whether one begins with the other.
bool PrefixesOverlap(std::string_view a, std::string_view b);

// Within a message of several fields.
void EncodeSpec(Writer& w, const JobSpec& spec);
// False if malformed.
bool DecodeSpec(Reader& r, JobSpec* spec);

inline constexpr size_t kNameBytesMax = 128;
inline constexpr size_t kInputsMax = 64;
inline constexpr size_t kFunctionNameBytesMax = 64;
inline constexpr size_t kScriptBytesMax = 1 << 20;  // of all of a job's scripts together
inline constexpr size_t kParametersMax = 32;
inline constexpr size_t kParameterNameBytesMax = 64;
inline constexpr size_t kParameterBytesMax = 4 << 10;
inline constexpr uint32_t kTopMax = 1'000;
inline constexpr uint32_t kReducersMax = 1'000;
inline constexpr uint32_t kPriorityMax = 10;
inline constexpr uint64_t kSliceBytesMin = 1 << 20;
inline constexpr uint64_t kSliceBytesMax = 1 << 30;
inline constexpr uint64_t kTaskMemoryMin = 1 << 20;

}  // namespace kvd::jobs
