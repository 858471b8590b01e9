// What is told of a job, and how far it has come.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "mapreduce/coordinator/coordinator.h"

namespace kvd::jobs {
namespace {

// Of a job that is done, whose tasks may be forgotten.
std::vector<PhaseStatus> PhasesOf(const Job& job) {
  std::vector<PhaseStatus> phases;
  auto add = [&phases](Phase phase, uint32_t tasks, uint64_t bytes) {
    PhaseStatus status;
    status.phase = phase;
    status.tasks = status.tasks_done = tasks;
    status.bytes = status.bytes_done = bytes;
    phases.push_back(status);
  };
  add(Phase::kMap, job.maps, job.input_bytes);
  if (job.reducers != 0) add(Phase::kReduce, job.reducers, job.map_bytes);
  return phases;
}

}  // namespace

// Of what a reduce task reads only the sum over all is known.
uint64_t Coordinator::TaskBytes(const Entry& entry, const TaskId& task) const {
  const Task* known = entry.Find(task);
  if (known == nullptr) return 0;
  if (task.phase == Phase::kSample) return std::min(known->slice.bytes, options_.sample_bytes);
  if (task.phase == Phase::kMap) return known->slice.bytes;
  uint64_t bytes = 0;
  for (const Task& map : entry.maps) bytes += map.output ? map.output->bytes : 0;
  return bytes / std::max(1u, entry.job.reducers);
}

PhaseStatus Coordinator::StatusOf(JobId id, const Entry& entry, Phase phase) {
  PhaseStatus status;
  status.phase = phase;
  JobRun& run = runs_[id];
  auto known = run.phases.find(phase);
  if (known != run.phases.end()) {
    status.reruns = known->second.reruns;
    status.backups = known->second.backups;
  }
  const std::vector<Task>& tasks = phase == Phase::kReduce ? entry.reduces : entry.maps;
  uint64_t each = phase == Phase::kReduce ? TaskBytes(entry, {phase, 0}) : 0;
  status.tasks = static_cast<uint32_t>(tasks.size());
  for (const Task& task : tasks) {
    uint64_t bytes = phase == Phase::kReduce ? each : task.slice.bytes;
    status.bytes += bytes;
    // What was read once was read, though it may be read again.
    if (!task.output) continue;
    ++status.tasks_done;
    status.bytes_done += bytes;
  }
  TaskId task{phase, 0};
  uint64_t best = 0;
  auto add = [&] {
    const Task* of = entry.Find(task);
    uint64_t most = phase == Phase::kReduce ? each : of == nullptr ? 0 : of->slice.bytes;
    if (of != nullptr && !of->output) status.bytes_done += std::min(best, most);
    best = 0;
  };
  for (auto it = First(id, task); it != attempts_.end() && it->first.job == id; ++it) {
    if (it->first.task.phase != phase) break;
    if (it->first.task != task) add();
    task = it->first.task;
    best = std::max(best, it->second.bytes_done);
    status.tasks_running += !it->second.finished;
  }
  add();
  uint64_t& mark = run.phases[phase].mark;
  mark = std::max(mark, status.bytes_done);
  status.bytes = std::max(status.bytes, mark);
  status.bytes_done = mark;
  return status;
}

absl::StatusOr<JobStatus> Coordinator::Status(JobId id, MonotonicTime now) {
  now_ = std::max(now_, now);
  const Entry* entry = state_->Find(id);
  if (entry == nullptr) {
    return absl::NotFoundError(absl::StrCat("there is no job ", id.value()));
  }
  JobStatus status;
  status.id = id;
  status.spec = entry->spec;
  status.job = entry->job;
  status.reason = entry->job.reason;
  if (entry->job.state == JobState::kDone) status.phases = PhasesOf(entry->job);
  if (IsOver(entry->job.state)) return status;
  for (const std::vector<Task>* tasks : {&entry->maps, &entry->reduces}) {
    for (const Task& task : *tasks) {
      if (task.output) AddCounters(task.output->counters, &status.job.counters);
      for (const BadRecord& bad : task.skipped) {
        if (status.job.bad_records.size() < kBadRecordsListed) {
          status.job.bad_records.push_back(bad);
        }
      }
    }
  }
  const JobRun& run = runs_[id];
  if (entry->job.state == JobState::kPending) {
    status.reason = "waits for its turn";
  } else if (Waits(now_)) {
    status.reason = "the coordinator is new and waits for stores to tell what they run";
  } else {
    status.reason = run.trouble;
  }
  if (!entry->job.planned) return status;
  status.phases.push_back(StatusOf(id, *entry, Phase::kMap));
  if (!entry->direct()) status.phases.push_back(StatusOf(id, *entry, Phase::kReduce));
  status.left_ms = LeftMillis(id, *entry, status);
  return status;
}

// At the pace of the present phase, as long as this leader has watched it. What reduces will read
// is not known before maps are done: then as much as maps have left so far for their part.
uint64_t Coordinator::LeftMillis(JobId id, const Entry& entry, const JobStatus& status) {
  JobRun& run = runs_[id];
  Phase phase = entry.phase();
  if (phase != Phase::kMap && phase != Phase::kReduce) return 0;
  const PhaseStatus& now = status.phases[phase == Phase::kMap ? 0 : 1];
  if (run.seen_phase != phase || run.seen_at == kLongAgo) {
    run.seen_phase = phase;
    run.seen_bytes = now.bytes_done;
    run.seen_at = now_;
  }
  double seconds = std::chrono::duration<double>(now_ - run.seen_at).count();
  double did = static_cast<double>(now.bytes_done - std::min(now.bytes_done, run.seen_bytes));
  if (seconds < 1 || did <= 0) return 0;
  double left = static_cast<double>(now.bytes - now.bytes_done);
  if (phase == Phase::kMap && status.phases.size() > 1 && now.bytes_done > 0) {
    left += static_cast<double>(status.phases[1].bytes) * static_cast<double>(now.bytes) /
            static_cast<double>(now.bytes_done);
  }
  return static_cast<uint64_t>(left / (did / seconds) * 1'000) + 1;
}

// Stores that work for a job keep what was told of it, for the next leader.
void Coordinator::TellMarks(const Poll& poll, PollAnswer* answer) {
  std::set<JobId> jobs(poll.jobs.begin(), poll.jobs.end());
  for (const auto& [id, attempt] : attempts_) {
    if (attempt.store == poll.store) jobs.insert(id.job);
  }
  for (JobId id : jobs) {
    const Entry* entry = state_->Find(id);
    auto run = runs_.find(id);
    if (entry == nullptr || run == runs_.end() || IsOver(entry->job.state)) continue;
    for (const auto& [phase, known] : run->second.phases) {
      if (known.mark != 0) answer->marks.push_back({id, phase, known.mark});
    }
  }
}

void Coordinator::TakeMarks(const Poll& poll) {
  for (const ProgressMark& mark : poll.marks) {
    const Entry* entry = state_->Find(mark.job);
    if (entry == nullptr || IsOver(entry->job.state)) continue;
    uint64_t& known = runs_[mark.job].phases[mark.phase].mark;
    known = std::max(known, mark.bytes);
  }
}

}  // namespace kvd::jobs
