// What a job needs next, and what is made of the answers.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "mapreduce/coordinator/coordinator.h"
#include "proto/bytes.h"

namespace kvd::jobs {

// What was asked for by an earlier leader, or came to nothing, is asked for again.
template <class T>
std::function<void(absl::StatusOr<T>)> Coordinator::Then(JobId id,
                                                         std::function<void(const T&)> next) {
  JobRun& run = runs_[id];
  run.busy = true;
  return [this, id, next = std::move(next),
          alive = std::weak_ptr<bool>(alive_)](const absl::StatusOr<T>& answer) {
    auto held = alive.lock();
    if (held == nullptr || !*held) return;
    auto it = runs_.find(id);
    if (it == runs_.end()) return;
    JobRun& run = it->second;
    run.busy = false;
    if (answer.ok()) {
      run.pause = Duration::zero();
      run.trouble.clear();
      return next(*answer);
    }
    run.pause = std::clamp(run.pause * 2, options_.retry_after_min, options_.retry_after_max);
    run.retry_at = now_ + run.pause;
    run.trouble = std::string(FromAbsl(answer.status().message()));
    // It would be so each time.
    if (absl::IsInvalidArgument(answer.status())) EndJob(id, JobState::kFailed, run.trouble);
  };
}

void Coordinator::ProposeStep(const Command& command, std::function<void(const Result&)> next) {
  propose_(command, Then<Result>(command.job, std::move(next)));
}

void Coordinator::Drive(JobId id, const Entry& entry) {
  JobRun& run = runs_[id];
  CheckDeadline(id, entry);
  if (run.busy || now_ < run.retry_at) return;
  switch (entry.job.state) {
    case JobState::kPending: return;
    case JobState::kPublishing: return Publish(id, entry);
    case JobState::kDone:
    case JobState::kFailed:
    case JobState::kCancelled: return Sweep(id, entry);
    case JobState::kRunning: break;
  }
  LoseSilent(id, entry);
  if (run.busy) return;
  switch (entry.phase()) {
    case Phase::kPlan: return Plan(id, entry);
    case Phase::kSample: return ChooseSplit(id, entry);
    case Phase::kPublish: return Stage(id, entry);
    case Phase::kMap:
    case Phase::kReduce: return;
  }
}

// Those with the highest priority first, then those that have waited longest.
void Coordinator::StartJobs() {
  size_t run = state_->CountIn(JobState::kRunning) + state_->CountIn(JobState::kPublishing);
  if (starting_ || run >= state_->settings()[Setting::kJobsAtOnce]) return;
  JobId best;
  uint32_t priority = 0;
  for (const auto& [id, entry] : state_->jobs()) {
    if (entry.job.state != JobState::kPending || now_ < runs_[id].retry_at) continue;
    if (best && entry.spec->priority <= priority) continue;
    best = id;
    priority = entry.spec->priority;
  }
  if (!best) return;
  starting_ = true;
  propose_(JobCommand(CommandKind::kStart, best),
           [this, best, alive = std::weak_ptr<bool>(alive_)](const absl::StatusOr<Result>& result) {
             auto held = alive.lock();
             if (held == nullptr || !*held) return;
             starting_ = false;
             if (!result.ok()) runs_[best].retry_at = now_ + options_.retry_after_min;
           });
}

void Coordinator::CheckDeadline(JobId id, const Entry& entry) {
  uint64_t deadline = entry.spec->limits.deadline_ms;
  bool open = entry.job.state == JobState::kPending || entry.job.state == JobState::kRunning;
  if (!open || deadline == 0) return;
  uint64_t age = MillisOf(clock_) - std::min(MillisOf(clock_), MillisOf(entry.job.submitted));
  if (age < deadline) return;
  EndJob(id, JobState::kFailed,
         absl::StrCat("it was not done within its deadline of ", deadline, " ms"));
}

// Not a step: whatever the job waits for, it ends.
void Coordinator::EndJob(JobId id, JobState state, const std::string& reason) {
  JobRun& run = runs_[id];
  if (now_ < run.end_at) return;
  run.end_at = now_ + options_.retry_after_max;
  Command command = JobCommand(CommandKind::kEnd, id);
  command.state = state;
  command.text = reason.substr(0, kReasonBytesMax);
  propose_(command, [](const absl::StatusOr<Result>&) {});
}

void Coordinator::Plan(JobId id, const Entry& entry) {
  port_->Cut(id, *entry.spec, entry.job.pin,
             Then<std::vector<Slice>>(id, [this, id](const std::vector<Slice>& slices) {
               if (slices.size() > kSlicesMax) {
                 return EndJob(
                     id, JobState::kFailed,
                     absl::StrCat("its input is ", slices.size(), " slices, the limit is ",
                                  kSlicesMax, ": slice_bytes must be more"));
               }
               PlanPart(id, std::make_shared<std::vector<Slice>>(slices), 0);
             }));
}

void Coordinator::PlanPart(JobId id, std::shared_ptr<std::vector<Slice>> slices, size_t first) {
  const Entry* entry = state_->Find(id);
  if (entry == nullptr || entry->job.state != JobState::kRunning) return;
  size_t end = std::min(slices->size(), first + kSlicesAtOnceMax);
  Command command = JobCommand(CommandKind::kPlan, id);
  command.first = static_cast<uint32_t>(first);
  command.slices.assign(slices->begin() + static_cast<ptrdiff_t>(first),
                        slices->begin() + static_cast<ptrdiff_t>(end));
  command.final = end == slices->size();
  if (command.final) command.reducers = ReducersFor(*entry, *slices);
  bool final = command.final;
  ProposeStep(command, [this, id, slices = std::move(slices), end, final](const Result&) {
    if (!final) PlanPart(id, slices, end);
  });
}

uint32_t Coordinator::ReducersFor(const Entry& entry, const std::vector<Slice>& slices) const {
  if (entry.direct()) return 0;
  if (entry.spec->reducers != 0) return entry.spec->reducers;
  uint64_t bytes = 0;
  for (const Slice& slice : slices) bytes += slice.bytes;
  uint64_t wanted = bytes / options_.reduce_bytes + 1;
  return static_cast<uint32_t>(std::min<uint64_t>(wanted, kReducersMax));
}

// Slices that lie evenly over the input.
std::vector<uint32_t> Coordinator::SampleTasks(const Entry& entry) const {
  std::vector<uint32_t> tasks;
  uint32_t count = std::min(entry.job.maps, options_.samples_max);
  for (uint32_t i = 0; i < count; ++i) {
    tasks.push_back(static_cast<uint32_t>(uint64_t{i} * entry.job.maps / count));
  }
  return tasks;
}

void Coordinator::ChooseSplit(JobId id, const Entry& entry) {
  JobRun& run = runs_[id];
  std::vector<SampledKey> all;
  for (uint32_t task : SampleTasks(entry)) {
    auto it = run.samples.find(task);
    if (it == run.samples.end()) return;
    all.insert(all.end(), it->second.begin(), it->second.end());
  }
  std::vector<std::string> keys;
  for (SampledKey& sampled : all) keys.push_back(std::move(sampled.key));
  std::sort(keys.begin(), keys.end());
  Command command = JobCommand(CommandKind::kSplitters, id);
  command.strings = choose_splitters_(keys, entry.job.reducers);
  ProposeStep(command, [](const Result&) {});
}

void Coordinator::Stage(JobId id, const Entry& entry) {
  std::vector<Port::Winner> winners;
  Phase phase = entry.direct() ? Phase::kMap : Phase::kReduce;
  for (const Task& task : entry.outputs()) {
    TaskId name{phase, static_cast<uint32_t>(winners.size())};
    winners.push_back({{id, name, task.output->attempt}, task.output->store, task.output->hash});
  }
  auto next = [this, id, phase, winners](const Staged& staged) {
    if (staged.lost.empty()) {
      Command decide = JobCommand(CommandKind::kDecide, id);
      decide.text = staged.result;
      return ProposeStep(decide, [](const Result&) {});
    }
    std::vector<AttemptId> lost;
    for (uint32_t partition : staged.lost) {
      if (partition >= winners.size()) continue;
      const Port::Winner& winner = winners[partition];
      lost.push_back(winner.attempt);
      runs_[id].tasks[{phase, partition}].avoid.insert(winner.store);
    }
    Lose(id, std::move(lost));
  };
  port_->Stage(id, *entry.spec, winners, Then<Staged>(id, next));
}

void Coordinator::Publish(JobId id, const Entry& entry) {
  port_->Publish(id, *entry.spec, Then<Nothing>(id, [this, id](const Nothing&) {
                   Command end = JobCommand(CommandKind::kEnd, id);
                   end.state = JobState::kDone;
                   ProposeStep(end, [](const Result&) {});
                 }));
}

void Coordinator::Sweep(JobId id, const Entry& entry) {
  bool published = entry.job.state == JobState::kDone;
  port_->Sweep(id, *entry.spec, published,
               Then<Nothing>(id, [this, id](const Nothing&) { SweepTasks(id); }));
}

void Coordinator::SweepTasks(JobId id) {
  ProposeStep(JobCommand(CommandKind::kSwept, id), [this, id](const Result& result) {
    if (result.more) SweepTasks(id);
  });
}

// Whoever waits for a store that does not come back waits for ever.
void Coordinator::LoseSilent(JobId id, const Entry& entry) {
  std::vector<AttemptId> lost;
  for (Phase phase : {Phase::kMap, Phase::kReduce}) {
    if (!entry.Needs({phase, 0})) continue;
    const std::vector<Task>& tasks = phase == Phase::kMap ? entry.maps : entry.reduces;
    for (uint32_t i = 0; i < tasks.size() && lost.size() < kLostAtOnceMax; ++i) {
      if (!tasks[i].available || !IsSilent(tasks[i].output->store, options_.gone_after)) continue;
      lost.push_back({id, {phase, i}, tasks[i].output->attempt});
    }
  }
  if (lost.empty()) return;
  Command command = JobCommand(CommandKind::kLost, id);
  command.attempts = std::move(lost);
  ProposeStep(command, [this, id](const Result&) { runs_[id].stale = true; });
}

void Coordinator::Lose(JobId id, std::vector<AttemptId> attempts) {
  Command command = JobCommand(CommandKind::kLost, id);
  if (attempts.size() > kLostAtOnceMax) attempts.resize(kLostAtOnceMax);
  command.attempts = std::move(attempts);
  propose_(command, [this, id, alive = std::weak_ptr<bool>(alive_)](const absl::StatusOr<Result>&) {
    auto held = alive.lock();
    if (held != nullptr && *held) runs_[id].stale = true;
  });
}

}  // namespace kvd::jobs
