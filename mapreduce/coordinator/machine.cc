#include "mapreduce/coordinator/machine.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "proto/bytes.h"
#include "proto/check.h"
#include "proto/error.h"

namespace kvd::jobs {
namespace {

absl::Status NoJob(JobId id) {
  return absl::NotFoundError(absl::StrCat("there is no job ", id.value()));
}

absl::Status IsIn(JobId id, JobState state, std::string_view wanted) {
  return absl::FailedPreconditionError(absl::StrCat(
      "job ", id.value(), " is ", ToAbsl(ToString(state)), ": it can't ", ToAbsl(wanted)));
}

// What is told of a job once its tasks are forgotten. Each task counts once: by its last output
// that was accepted, available or not.
void SumUp(const Entry& entry, Job* job) {
  for (const std::vector<Task>* tasks : {&entry.maps, &entry.reduces}) {
    for (const Task& task : *tasks) {
      if (task.output) AddCounters(task.output->counters, &job->counters);
      for (const BadRecord& bad : task.skipped) {
        if (job->bad_records.size() < kBadRecordsListed) job->bad_records.push_back(bad);
      }
    }
  }
  for (const Task& task : entry.maps) {
    job->input_bytes += task.slice.bytes;
    if (task.output) job->map_bytes += task.output->bytes;
  }
  for (const Task& task : entry.outputs()) {
    if (!task.output) continue;
    job->output_records += task.output->records;
    job->output_bytes += task.output->bytes;
  }
}

}  // namespace

absl::Status JobsMachine::Load(const storage::MvccReader& reader, Timestamp at) {
  return state_.Load(reader, at);
}

absl::StatusOr<std::string> JobsMachine::Apply(std::string_view command, const Position& position,
                                               storage::RecordSink* records) {
  auto decoded = DecodeCommand(command);
  if (!decoded.ok()) return decoded.status();
  absl::Status valid = Validate(*decoded);
  if (!valid.ok()) return valid;
  Result result;
  absl::Status handled = Handle(*decoded, {position.timestamp, records}, &result);
  if (!handled.ok()) return handled;
  return Encode(result);
}

absl::Status JobsMachine::Handle(const Command& command, const Context& context, Result* result) {
  switch (command.kind) {
    case CommandKind::kSubmit: return Submit(command, context, result);
    case CommandKind::kGrant: Grant(command, context, result); return absl::OkStatus();
    case CommandKind::kForget: Forget(context); return absl::OkStatus();
    case CommandKind::kSet:
      state_.PutSetting(command.text, command.value, context.records);
      return absl::OkStatus();
    default: break;
  }
  if (state_.Find(command.job) == nullptr) return NoJob(command.job);
  result->job = command.job;
  return HandleJob(command, context, result);
}

absl::Status JobsMachine::HandleJob(const Command& command, const Context& context,
                                    Result* result) {
  switch (command.kind) {
    case CommandKind::kStart: return Start(command, context, result);
    case CommandKind::kPlan: return Plan(command, context);
    case CommandKind::kSplitters: return Splitters(command, context);
    case CommandKind::kComplete: return Complete(command, context);
    case CommandKind::kLost: return Lost(command, context);
    case CommandKind::kSkip: return Skip(command, context);
    case CommandKind::kDecide: return Decide(command, context);
    case CommandKind::kEnd: return EndJob(command, context);
    case CommandKind::kSwept: return Swept(command, context, result);
    default: return absl::InvalidArgumentError("unknown kind of command of jobs");
  }
}

absl::Status JobsMachine::CheckPrefix(const JobSpec& spec) const {
  if (!spec.output.IsKeys()) return absl::OkStatus();
  for (const auto& [id, entry] : state_.jobs()) {
    const Destination& other = entry.spec->output;
    if (IsOver(entry.job.state) || !other.IsKeys()) continue;
    if (!PrefixesOverlap(spec.output.prefix, other.prefix)) continue;
    return absl::FailedPreconditionError(
        absl::StrCat("output.prefix ", Printable(spec.output.prefix), " is in use by job ",
                     id.value(), ", which writes to ", Printable(other.prefix)));
  }
  return absl::OkStatus();
}

absl::Status JobsMachine::CheckSubmit(const JobSpec& spec, Timestamp now) const {
  absl::Status valid = kvd::jobs::Validate(spec, state_.settings());
  if (!valid.ok()) return valid;
  if (spec.timestamp > now) {
    return LimitError("timestamp", now.value(), spec.timestamp.value(), "(the time now)");
  }
  if (spec.timestamp && spec.timestamp < state_.ids().granted) {
    return absl::OutOfRangeError(absl::StrCat("timestamp is ", spec.timestamp.value(),
                                              ": history is kept from ",
                                              state_.ids().granted.value(), " on"));
  }
  uint64_t most = state_.settings()[Setting::kJobsOpenMax];
  if (state_.CountOpen() >= most) {
    return BusyError(absl::StrCat("there are ", state_.CountOpen(),
                                  " jobs that are not over, the limit (jobs-open-max) is ", most),
                     1'000);
  }
  return CheckPrefix(spec);
}

absl::Status JobsMachine::Submit(const Command& command, const Context& context, Result* result) {
  result->job = state_.FindNonce(command.nonce);
  if (result->job) return absl::OkStatus();
  absl::Status valid = CheckSubmit(command.spec, context.now);
  if (!valid.ok()) return valid;
  Ids ids = state_.ids();
  result->job = ids.next_job;
  ++ids.next_job;
  state_.Put(ids, context.records);
  Job job;
  job.nonce = command.nonce;
  job.submitted = context.now;
  // A time that is asked for is held from now on, however long the job has to wait.
  job.pin = command.spec.timestamp;
  state_.Insert(result->job, command.spec, job, context.records);
  return absl::OkStatus();
}

void JobsMachine::Grant(const Command& command, const Context& context, Result* result) {
  Timestamp at = std::min({command.at, state_.LowestPin(), context.now});
  Ids ids = state_.ids();
  if (at > ids.granted) {
    ids.granted = at;
    state_.Put(ids, context.records);
  }
  result->at = ids.granted;
}

absl::Status JobsMachine::Start(const Command& command, const Context& context, Result* result) {
  const Entry& entry = *state_.Find(command.job);
  result->at = entry.job.pin;
  if (entry.job.state == JobState::kRunning) return absl::OkStatus();
  if (entry.job.state != JobState::kPending) return IsIn(command.job, entry.job.state, "begin");
  uint64_t most = state_.settings()[Setting::kJobsAtOnce];
  size_t run = state_.CountIn(JobState::kRunning) + state_.CountIn(JobState::kPublishing);
  if (run >= most) {
    return BusyError(absl::StrCat(most, " jobs run (jobs-at-once)"), 1'000);
  }
  Job job = entry.job;
  job.state = JobState::kRunning;
  job.started = context.now;
  if (!job.pin) job.pin = context.now;
  result->at = job.pin;
  state_.Put(command.job, job, context.records);
  return absl::OkStatus();
}

absl::Status JobsMachine::Decide(const Command& command, const Context& context) {
  const Entry& entry = *state_.Find(command.job);
  if (entry.job.state == JobState::kPublishing || entry.job.state == JobState::kDone) {
    return absl::OkStatus();
  }
  if (entry.job.state != JobState::kRunning || entry.phase() != Phase::kPublish) {
    return IsIn(command.job, entry.job.state, "be published: it has not all of its output");
  }
  Job job = entry.job;
  job.state = JobState::kPublishing;
  job.has_result = entry.spec->output.kind == OutputKind::kInline;
  if (job.has_result) state_.PutResult(command.job, command.text, context.records);
  state_.Put(command.job, job, context.records);
  return absl::OkStatus();
}

absl::Status JobsMachine::EndJob(const Command& command, const Context& context) {
  const Job& job = state_.Find(command.job)->job;
  if (job.state == command.state) return absl::OkStatus();
  bool decided = job.state == JobState::kPublishing;
  if (IsOver(job.state) || decided != (command.state == JobState::kDone)) {
    return IsIn(command.job, job.state, absl::StrCat("become ", ToAbsl(ToString(command.state))));
  }
  Finish(command.job, command.state, command.text, context);
  return absl::OkStatus();
}

void JobsMachine::Finish(JobId id, JobState state, const std::string& reason,
                         const Context& context) {
  const Entry& entry = *state_.Find(id);
  Job job = entry.job;
  KVD_CHECK(!IsOver(job.state));
  job.state = state;
  job.reason = reason.substr(0, kReasonBytesMax);
  job.ended = context.now;
  SumUp(entry, &job);
  state_.Put(id, job, context.records);
}

// Tasks go in parts, so that no entry of the log takes long.
absl::Status JobsMachine::Swept(const Command& command, const Context& context, Result* result) {
  const Entry& entry = *state_.Find(command.job);
  if (!IsOver(entry.job.state)) return IsIn(command.job, entry.job.state, "be swept");
  if (entry.job.clean) return absl::OkStatus();
  bool keeps = entry.job.state == JobState::kDone && entry.spec->output.IsFiles();
  size_t left = kSweptAtOnce;
  for (Phase phase : {Phase::kReduce, Phase::kMap}) {
    const std::vector<Task>& tasks = phase == Phase::kReduce ? entry.reduces : entry.maps;
    if (keeps && &tasks == &entry.outputs()) continue;
    size_t erased = std::min(left, tasks.size());
    state_.EraseTasks(command.job, phase, tasks.size() - erased, context.records);
    left -= erased;
    result->more |= !tasks.empty();
  }
  if (result->more) return absl::OkStatus();
  Job job = entry.job;
  job.clean = true;
  state_.Put(command.job, job, context.records);
  Forget(context);
  return absl::OkStatus();
}

void JobsMachine::Forget(const Context& context) {
  size_t left = kSweptAtOnce;
  for (JobId id : state_.Forgettable(context.now)) {
    for (Phase phase : {Phase::kReduce, Phase::kMap}) {
      const Entry& entry = *state_.Find(id);
      size_t tasks = phase == Phase::kReduce ? entry.reduces.size() : entry.maps.size();
      size_t erased = std::min(left, tasks);
      state_.EraseTasks(id, phase, tasks - erased, context.records);
      left -= erased;
    }
    if (left == 0) return;
    state_.Erase(id, context.records);
  }
}

}  // namespace kvd::jobs
