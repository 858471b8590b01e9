// What a leader knows of a job beside its state: what runs, how it goes. Lost with the leader.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "mapreduce/coordinator/protocol.h"
#include "raft/runtime/time.h"

namespace kvd::jobs {

// An attempt that a store runs, or has ended and its result is being logged.
struct Attempt {
  StoreId store;
  MonotonicTime begun;
  uint64_t bytes_done = 0;
  size_t skipped = 0;    // how many bad records it was told of
  bool adopted = false;  // an earlier leader began it
  bool finished = false;
  bool backup = false;
};

// What is known of a task from attempts that did not succeed.
struct TaskRun {
  uint32_t attempts = 0;                          // begun by this leader
  uint32_t failures = 0;                          // of which its code may be the reason
  std::map<std::string, uint32_t> bad_hits;       // by key of the record
  uint32_t loose_hits = 0;                        // of records that are not skipped yet
  std::map<uint64_t, uint32_t> unreachable_hits;  // reports on the output of its attempt
  std::set<StoreId> avoid;                        // its output was damaged there
  MonotonicTime not_before = kLongAgo;
  MonotonicTime waits_since = kLongAgo;
};

struct PhaseRun {
  uint32_t reruns = 0;
  uint32_t backups = 0;
  uint64_t mark = 0;          // bytes: the most that was ever told
  std::vector<double> rates;  // bytes a second of attempts that ended
};

struct JobRun {
  // A call or a proposal that a step of the job waits for.
  bool busy = false;
  MonotonicTime retry_at = kLongAgo;
  Duration pause = Duration::zero();
  std::string trouble;  // why the last step failed

  std::map<TaskId, TaskRun> tasks;
  std::map<Phase, PhaseRun> phases;
  std::map<uint32_t, std::vector<SampledKey>> samples;
  // Tasks of `waiting_phase` that had no attempt and no output when it was filled, or lost them
  // since; some may have them again.
  std::set<uint32_t> waiting;
  Phase waiting_phase = Phase::kPlan;
  bool stale = true;  // there may be more than `waiting` says
  MonotonicTime refill_at = kLongAgo;
  MonotonicTime end_at = kLongAgo;  // not before that it is asked again to end

  uint32_t running = 0;  // attempts, ended ones aside
  // For the estimate: bytes done of the phase, and when, when it was first looked at.
  Phase seen_phase = Phase::kPlan;
  uint64_t seen_bytes = 0;
  MonotonicTime seen_at = kLongAgo;
};

}  // namespace kvd::jobs
