// Plans and tasks: what is to be done, what was done, and what of it is lost again.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "mapreduce/coordinator/machine.h"
#include "proto/bytes.h"

namespace kvd::jobs {
namespace {

absl::Status Refuse(JobId id, std::string_view why) {
  return absl::FailedPreconditionError(absl::StrCat("job ", id.value(), ": ", ToAbsl(why)));
}

}  // namespace

// A leader that begins to plan anew drops what an earlier one has told of its own plan.
absl::Status JobsMachine::Plan(const Command& command, const Context& context) {
  const Entry& entry = *state_.Find(command.job);
  if (entry.job.planned) return absl::OkStatus();
  if (entry.job.state != JobState::kRunning) return Refuse(command.job, "it does not run");
  if (command.first > entry.maps.size()) {
    return Refuse(command.job,
                  absl::StrCat("slices from ", command.first, " on, after ", entry.maps.size()));
  }
  state_.EraseTasks(command.job, Phase::kMap, command.first, context.records);
  uint32_t number = command.first;
  for (const Slice& slice : command.slices) {
    Task task;
    task.slice = slice;
    state_.Put(command.job, {Phase::kMap, number++}, task, context.records);
  }
  return command.final ? FinishPlan(command, context) : absl::OkStatus();
}

absl::Status JobsMachine::FinishPlan(const Command& command, const Context& context) {
  const Entry& entry = *state_.Find(command.job);
  bool direct = entry.direct();
  if (!Covers(entry.maps, *entry.spec) || direct != (command.reducers == 0)) {
    Finish(command.job, JobState::kFailed,
           absl::StrCat("the plan of ", entry.maps.size(), " slices and ", command.reducers,
                        " reducers is not one of the job's inputs"),
           context);
    return absl::OkStatus();
  }
  Job job = entry.job;
  job.planned = true;
  job.maps = static_cast<uint32_t>(entry.maps.size());
  job.reducers = command.reducers;
  for (uint32_t i = 0; i < job.reducers; ++i) {
    state_.Put(command.job, {Phase::kReduce, i}, Task(), context.records);
  }
  state_.Put(command.job, job, context.records);
  return absl::OkStatus();
}

// The first ones count: maps may run by them already.
absl::Status JobsMachine::Splitters(const Command& command, const Context& context) {
  const Entry& entry = *state_.Find(command.job);
  if (entry.job.split) return absl::OkStatus();
  if (entry.job.state != JobState::kRunning || entry.phase() != Phase::kSample) {
    return Refuse(command.job, "it is given splitters and does not wait for them");
  }
  const auto& s = command.strings;
  if (s.size() >= entry.job.reducers ||
      std::adjacent_find(s.begin(), s.end(), std::greater_equal<>()) != s.end()) {
    return Refuse(command.job,
                  absl::StrCat(s.size(), " splitters that don't rise, or too many, of ",
                               entry.job.reducers, " partitions"));
  }
  Job job = entry.job;
  job.split = true;
  job.splitters = s;
  state_.Put(command.job, job, context.records);
  return absl::OkStatus();
}

absl::StatusOr<const Entry*> JobsMachine::Running(JobId id, const TaskId& task) const {
  const Entry* entry = state_.Find(id);
  if (entry->job.state != JobState::kRunning) return Refuse(id, "it does not run");
  if (!entry->job.planned || entry->Find(task) == nullptr) {
    return Refuse(id, absl::StrCat("it has no ", ToString(task)));
  }
  return entry;
}

absl::Status JobsMachine::CheckComplete(const Entry& entry, const Command& command) const {
  const Task& task = *entry.Find(command.task);
  const Output& output = command.output;
  if (entry.NeedsSplitters() && !entry.job.split) {
    return Refuse(command.job, "its partitions are not chosen yet");
  }
  if (!output.store || output.attempt == 0) return Refuse(command.job, "an output of nobody's");
  if (task.available) {
    return absl::AlreadyExistsError(
        absl::StrCat(ToString(command.task), " of job ", command.job.value(), " is done"));
  }
  if (output.attempt <= task.over_upto) {
    return Refuse(command.job, absl::StrCat("an attempt of ", ToString(command.task),
                                            " that is over: its output was lost"));
  }
  if (output.skipped != task.skipped.size()) {
    return Refuse(command.job, absl::StrCat(ToString(command.task), " skips ", task.skipped.size(),
                                            " records, the attempt skipped ", output.skipped));
  }
  return absl::OkStatus();
}

absl::Status JobsMachine::Complete(const Command& command, const Context& context) {
  auto entry = Running(command.job, command.task);
  if (!entry.ok()) return entry.status();
  const Task& known = *(*entry)->Find(command.task);
  // Asked again by a leader that missed the answer.
  if (known.available && known.output->attempt == command.output.attempt) return absl::OkStatus();
  absl::Status valid = CheckComplete(**entry, command);
  if (!valid.ok()) return valid;
  // Others may have read what was there before.
  if (known.output && known.output->hash != command.output.hash) {
    Finish(command.job, JobState::kFailed,
           absl::StrCat(ToString(command.task),
                        " left other bytes when it was run again: the job's code is not pure"),
           context);
    return absl::OkStatus();
  }
  Task task = known;
  task.output = command.output;
  task.available = true;
  state_.Put(command.job, command.task, task, context.records);
  return absl::OkStatus();
}

// What nobody needs any more may be lost.
absl::Status JobsMachine::Lost(const Command& command, const Context& context) {
  for (const AttemptId& attempt : command.attempts) {
    auto entry = Running(command.job, attempt.task);
    if (!entry.ok()) return absl::OkStatus();
    const Task& known = *(*entry)->Find(attempt.task);
    if (!(*entry)->Needs(attempt.task)) continue;
    if (!known.available || known.output->attempt != attempt.number) continue;
    Task task = known;
    task.available = false;
    task.over_upto = attempt.number;
    ++task.losses;
    state_.Put(command.job, attempt.task, task, context.records);
    if (task.losses <= kLossesMax) continue;
    Finish(
        command.job, JobState::kFailed,
        absl::StrCat("the output of ", ToString(attempt.task), " was lost ", task.losses, " times"),
        context);
    return absl::OkStatus();
  }
  return absl::OkStatus();
}

absl::Status JobsMachine::Skip(const Command& command, const Context& context) {
  auto entry = Running(command.job, command.task);
  if (!entry.ok()) return entry.status();
  Task task = *(*entry)->Find(command.task);
  bool known = std::any_of(task.skipped.begin(), task.skipped.end(),
                           [&](const BadRecord& bad) { return bad.key == command.bad.key; });
  if (known || task.available) return absl::OkStatus();
  Job job = (*entry)->job;
  uint64_t most = (*entry)->spec->limits.bad_records;
  if (job.bad_count >= most) {
    std::string seen = most == 0 ? "a bad record"
                                 : absl::StrCat(job.bad_count + 1, " bad records, the limit is ",
                                                most, "; the last of them");
    Finish(command.job, JobState::kFailed,
           absl::StrCat(seen, ", in ", ToString(command.task), ": ", Printable(command.bad.key),
                        ": ", command.bad.reason),
           context);
    return absl::OkStatus();
  }
  ++job.bad_count;
  task.skipped.push_back(command.bad);
  if (job.bad_count > kBadRecordsListed) task.skipped.back().reason.clear();
  state_.Put(command.job, job, context.records);
  state_.Put(command.job, command.task, task, context.records);
  return absl::OkStatus();
}

}  // namespace kvd::jobs
