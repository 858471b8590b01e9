// How jobs lie in the controller's group, as keys and values of the versions space, beside the
// controller's own records:
//
//   "ji"                                 next job, granted timestamp
//   "jj" job (8 B big-endian)            job
//   "jp" job                             its spec
//   "jr" job                             its result, if its output is INLINE
//   "jt" job phase (1 B) number (4 B)    task
//   "jv" name                            setting: a number
//
// A value begins with its format (1 B, now 1), a result with nothing. Pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "mapreduce/coordinator/spec.h"
#include "mapreduce/coordinator/types.h"

namespace kvd::jobs {

struct Ids {
  JobId next_job{1};
  Timestamp granted;  // the highest that a safe point was ever let rise to

  bool operator==(const Ids&) const = default;
};

// Keys of all records begin with this.
inline constexpr char kRecordPrefix = 'j';

enum class Table : char {
  kIds = 'i',
  kJobs = 'j',
  kSpecs = 'p',
  kResults = 'r',
  kTasks = 't',
  kSettings = 'v',
};

std::string RecordKey(Table table);
std::string RecordKey(Table table, JobId job);
std::string RecordKey(JobId job, const TaskId& task);
std::string RecordKey(std::string_view setting);

// What a key names. Empty if it is malformed.
struct RecordName {
  Table table = Table::kIds;
  JobId job;
  TaskId task;
  std::string setting;
};
std::optional<RecordName> ParseRecordKey(std::string_view key);

// Empty if malformed, or of a later format.
std::string Encode(const Ids& ids);
std::optional<Ids> DecodeIds(std::string_view bytes);
std::string Encode(const Job& job);
std::optional<Job> DecodeJob(std::string_view bytes);
std::string Encode(const Task& task);
std::optional<Task> DecodeTask(std::string_view bytes);
std::string EncodeSpecRecord(const JobSpec& spec);
std::optional<JobSpec> DecodeSpecRecord(std::string_view bytes);
std::string EncodeNumber(uint64_t number);
std::optional<uint64_t> DecodeNumber(std::string_view bytes);

}  // namespace kvd::jobs
