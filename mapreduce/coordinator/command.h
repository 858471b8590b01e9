// What the log says of jobs, and what came of it. Values; pure codec.
//
//   command = kCommandFormat (1 B, apart from other machines' in the group) kind (1 B)
//             fields-of-kind
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "mapreduce/coordinator/spec.h"
#include "mapreduce/coordinator/types.h"

namespace kvd::jobs {

// The first byte of every command, of the log's entries for this machine: see storage::MachineSet.
inline constexpr char kCommandFormat = 'j';

enum class CommandKind : uint8_t {
  kSubmit = 1,     // a job of `spec` waits, unless there is one of `nonce`
  kGrant = 2,      // the safe point may rise to `at`, or as far as pins permit
  kStart = 3,      // the job's input is pinned and it runs
  kPlan = 4,       // its slices from number `first` on; `final`: and that is all
  kSplitters = 5,  // `strings`: where its partitions begin
  kComplete = 6,   // `output` is what `attempt` has left
  kLost = 7,       // outputs of `attempts` are gone
  kSkip = 8,       // the task skips `bad` from now on
  kDecide = 9,     // all is staged: it is published, whatever happens
  kEnd = 10,       // it is over, as `state`, because of `reason`
  kSwept = 11,     // nothing of it is left outside: a part of its tasks is forgotten
  kForget = 12,    // what is too old is forgotten
  kSet = 13,       // setting `name` becomes `value`
};

struct Command {
  CommandKind kind = CommandKind::kForget;
  JobId job;                           // all but kSubmit, kGrant, kForget, kSet
  JobSpec spec;                        // kSubmit
  uint64_t nonce = 0;                  // kSubmit
  Timestamp at;                        // kGrant
  uint32_t first = 0;                  // kPlan
  bool final = false;                  // kPlan
  uint32_t reducers = 0;               // kPlan, if final
  std::vector<Slice> slices;           // kPlan
  std::vector<std::string> strings;    // kSplitters
  TaskId task;                         // kComplete, kSkip
  Output output;                       // kComplete
  std::vector<AttemptId> attempts;     // kLost: all of `job`
  BadRecord bad;                       // kSkip
  JobState state = JobState::kFailed;  // kEnd
  std::string text;    // kEnd: the reason; kDecide: the result, if it is INLINE; kSet: the setting
  uint64_t value = 0;  // kSet

  bool operator==(const Command&) const = default;
};

struct Result {
  JobId job;          // kSubmit
  Timestamp at;       // kGrant: what is granted by now; kStart: the pin
  bool more = false;  // kSwept: there are tasks yet

  bool operator==(const Result&) const = default;
};

// Whether the limits hold that no state is needed for; the error names field, limit and value seen.
absl::Status Validate(const Command& command);

std::string Encode(const Command& command);
// INVALID_ARGUMENT if malformed.
absl::StatusOr<Command> DecodeCommand(std::string_view bytes);

std::string Encode(const Result& result);
absl::StatusOr<Result> DecodeResult(std::string_view bytes);

inline constexpr uint32_t kSlicesMax = 50'000;  // of one job
inline constexpr size_t kSlicesAtOnceMax = 2'000;
inline constexpr size_t kLostAtOnceMax = 5'000;
inline constexpr size_t kSweptAtOnce = 5'000;
inline constexpr size_t kResultBytesMax = 1 << 20;

}  // namespace kvd::jobs
