// What an operator may set for jobs: numbers with a name, a default and a range. Replicated with
// the jobs.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace kvd::jobs {

enum class Setting : uint8_t {
  kJobsAtOnce,
  kJobsOpenMax,
  kHistoryJobs,
  kHistorySeconds,
  kTaskMemoryMegabytesMax,
  kTaskCpuSecondsMax,
  kTaskSpillMegabytesMax,
  kTaskOutputMegabytesMax,
  kTaskAttemptsMax,
  kBadRecordsMax,
  kDeadlineSecondsMax,
};

struct SettingInfo {
  Setting setting;
  std::string_view name;
  uint64_t initial;
  uint64_t min;
  uint64_t max;
  std::string_view meaning;
};

inline constexpr std::array<SettingInfo, 11> kSettings = {{
    {Setting::kJobsAtOnce, "jobs-at-once", 4, 1, 100, "jobs that run at the same time"},
    {Setting::kJobsOpenMax, "jobs-open-max", 100, 1, 10'000,
     "jobs that run or wait for their turn; more are refused"},
    {Setting::kHistoryJobs, "job-history", 200, 0, 10'000,
     "jobs that are over and still told of, the last ones"},
    {Setting::kHistorySeconds, "job-history-s", 7 * 86'400, 0, 366 * 86'400,
     "seconds for which a job that is over is told of, with its files and result"},
    {Setting::kTaskMemoryMegabytesMax, "task-memory-max-mb", 1'024, 1, 4'096,
     "MiB of memory that a job may ask for a task"},
    {Setting::kTaskCpuSecondsMax, "task-cpu-max-s", 3'600, 1, 7 * 86'400,
     "seconds of CPU that a job may ask for an attempt"},
    {Setting::kTaskSpillMegabytesMax, "task-spill-max-mb", 64 << 10, 1, 16 << 20,
     "MiB of local disk that a job may ask for an attempt"},
    {Setting::kTaskOutputMegabytesMax, "task-output-max-mb", 256 << 10, 1, 16 << 20,
     "MiB that a job may ask for what a task emits"},
    {Setting::kTaskAttemptsMax, "task-attempts-max", 20, 1, 100,
     "attempts that a job may ask for each task"},
    {Setting::kBadRecordsMax, "bad-records-max", 10'000, 0, 100'000,
     "bad records that a job may ask to be skipped"},
    {Setting::kDeadlineSecondsMax, "job-deadline-max-s", 30 * 86'400, 1, 366 * 86'400,
     "seconds after which a job fails whatever it asks for, if it asks for a deadline"},
}};

// Null if there is none of this name.
const SettingInfo* FindSetting(std::string_view name);

class Settings {
 public:
  uint64_t operator[](Setting setting) const;
  // Those that are not at their default.
  const std::map<std::string, uint64_t, std::less<>>& changed() const { return changed_; }
  // Whether `value` can be set; else an error that names setting, value and range.
  static absl::Status Check(std::string_view name, uint64_t value);
  // Requires: Check gave OK.
  void Set(std::string_view name, uint64_t value) { changed_[std::string(name)] = value; }

 private:
  std::map<std::string, uint64_t, std::less<>> changed_;
};

}  // namespace kvd::jobs
