#include "mapreduce/coordinator/types.h"

#include "absl/strings/str_cat.h"
#include "proto/bytes.h"

namespace kvd::jobs {

void AddCounters(const Counters& from, Counters* to) {
  for (const auto& [name, value] : from) {
    int64_t& sum = (*to)[name];
    sum = static_cast<int64_t>(static_cast<uint64_t>(sum) + static_cast<uint64_t>(value));
  }
}

std::string_view ToString(JobState state) {
  switch (state) {
    case JobState::kPending: return "pending";
    case JobState::kRunning: return "running";
    case JobState::kPublishing: return "publishing";
    case JobState::kDone: return "done";
    case JobState::kFailed: return "failed";
    case JobState::kCancelled: return "cancelled";
  }
  return "?";
}

std::string_view ToString(Phase phase) {
  switch (phase) {
    case Phase::kPlan: return "plan";
    case Phase::kSample: return "sample";
    case Phase::kMap: return "map";
    case Phase::kReduce: return "reduce";
    case Phase::kPublish: return "publish";
  }
  return "?";
}

std::string ToString(const TaskId& task) {
  return absl::StrCat(ToAbsl(ToString(task.phase)), "-", task.number);
}

std::string ToString(const AttemptId& attempt) {
  uint64_t low = attempt.number & ((uint64_t{1} << kAttemptBits) - 1);
  return absl::StrCat(ToString(attempt.task), " of job ", attempt.job.value(), " attempt ",
                      attempt.number >> kAttemptBits, ".", low);
}

}  // namespace kvd::jobs
