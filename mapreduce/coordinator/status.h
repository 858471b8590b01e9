// What is told of a job. Values; the fields are those of proto/kvd/v1/jobs.proto.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "mapreduce/coordinator/spec.h"
#include "mapreduce/coordinator/types.h"

namespace kvd::jobs {

struct PhaseStatus {
  Phase phase = Phase::kPlan;
  uint32_t tasks = 0;
  uint32_t tasks_done = 0;  // once at least: what is run again is told by `reruns`
  uint32_t tasks_running = 0;
  // As far as the present leader knows.
  uint32_t reruns = 0;   // attempts that were not the first one of their tasks
  uint32_t backups = 0;  // attempts that were begun beside a slow one
  uint64_t bytes = 0;
  uint64_t bytes_done = 0;  // never falls

  bool operator==(const PhaseStatus&) const = default;
};

struct JobStatus {
  JobId id;
  std::shared_ptr<const JobSpec> spec;
  Job job;  // with what was counted so far
  std::string reason;
  std::vector<PhaseStatus> phases;
  uint64_t left_ms = 0;  // 0: not known
};

}  // namespace kvd::jobs
