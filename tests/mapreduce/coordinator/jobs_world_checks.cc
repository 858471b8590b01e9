// What must hold in the simulated world, always and in the end.
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "proto/bytes.h"
#include "tests/mapreduce/coordinator/world_port.h"

namespace kvd::jobs {

void JobsWorld::Fail(const std::string& what) const {
  std::printf("seed %lu: %s\n", seed_, what.c_str());
  std::fflush(stdout);
  kvd::CheckFailed(__FILE__, __LINE__, "the simulated world", what);
}

// Of what the log says, as it is applied first.
void JobsWorld::Observe(const Command& command, const absl::StatusOr<std::string>& answer) {
  if (!answer.ok()) return;
  Result result = *DecodeResult(*answer);
  if (verbose_) {
    std::printf("%lu.%03lu term %lu: command %d of job %lu %s%s\n",
                MillisOf(Clock()) / 1'000 % 100'000, MillisOf(Clock()) % 1'000, term_,
                static_cast<int>(command.kind), result.job.value(),
                command.kind == CommandKind::kComplete ? ToString(command.task).c_str() : "",
                command.text.c_str());
  }
  const Entry* entry = state().Find(command.job);
  switch (command.kind) {
    case CommandKind::kSubmit: {
      auto [it, fresh] = by_nonce_.emplace(command.nonce, result.job);
      if (!fresh && it->second != result.job) Fail("one nonce gave two jobs");
      return;
    }
    case CommandKind::kComplete: {
      if (entry->job.state != JobState::kRunning) return;
      std::pair<JobId, TaskId> task{command.job, command.task};
      auto [it, fresh] = accepted_.emplace(task, command.output.attempt);
      if (!fresh && it->second != command.output.attempt) {
        Fail(ToString(command.task) + " has two winners");
      }
      auto [hash, first] = hashes_.emplace(task, command.output.hash);
      if (!first && hash->second != command.output.hash) Fail("two outputs of one task");
      return;
    }
    case CommandKind::kLost:
      for (const AttemptId& attempt : command.attempts) {
        const Task* task = entry->Find(attempt.task);
        if (task == nullptr || task->available || task->over_upto != attempt.number) continue;
        ++report_.losses;
        accepted_.erase({command.job, attempt.task});
      }
      return;
    case CommandKind::kSkip: ++report_.skipped; return;
    default: return;
  }
}

void JobsWorld::CheckAlways() {
  state().CheckState();
  for (const auto& [id, entry] : state().jobs()) {
    if (IsOver(entry.job.state)) over_since_.emplace(id, scheduler_.now());
  }
}

// Of a job no less is told than a store that was heard knows from an earlier leader.
void JobsWorld::CheckMarks(size_t index, const Poll& poll) {
  for (const ProgressMark& mark : poll.marks) {
    auto status = replicas_[index].coordinator->Status(mark.job, scheduler_.now());
    if (!status.ok() || IsOver(status->job.state)) continue;
    for (const PhaseStatus& phase : status->phases) {
      if (phase.phase != mark.phase || phase.bytes_done >= mark.bytes) continue;
      Fail(absl::StrCat("progress of job ", mark.job.value(), " was ", mark.bytes,
                        " and is told to be ", phase.bytes_done));
    }
  }
}

// What a leader tells never falls.
void JobsWorld::CheckProgress() {
  for (Replica& replica : replicas_) {
    if (replica.coordinator == nullptr) continue;
    for (const auto& [id, entry] : replica.machine->state().jobs()) {
      auto status = replica.coordinator->Status(id, scheduler_.now());
      if (!status.ok()) Fail("no status of a job");
      for (const PhaseStatus& phase : status->phases) {
        uint64_t& last = replica.progress[{id, phase.phase}];
        if (phase.bytes_done < last || phase.bytes_done > phase.bytes) {
          Fail(absl::StrCat("progress of job ", id.value(), " fell from ", last, " to ",
                            phase.bytes_done, " of ", phase.bytes));
        }
        last = phase.bytes_done;
      }
    }
    for (const auto& [id, attempt] : replica.coordinator->attempts()) {
      report_.adopted += attempt.adopted;
      report_.backups += attempt.backup;
    }
  }
}

// A cancel, or an end, reaches everything within a lease, whatever the network does.
void JobsWorld::CheckRunning() {
  for (const Store& store : stores_) {
    if (!store.up) continue;
    for (const auto& [id, bytes] : store.agent->running()) {
      if (scheduler_.now() > store.heard + milliseconds(5'200)) {
        Fail(ToString(id) + " runs where no coordinator was heard for a lease");
      }
      auto it = over_since_.find(id.job);
      if (it == over_since_.end()) continue;
      // Of a leader that does not know that it leads no more, a lease may be two.
      if (scheduler_.now() < it->second + std::chrono::seconds(12)) continue;
      Fail(ToString(id) + " still runs long after its job is over");
    }
  }
}

bool JobsWorld::AllOver() const {
  const State& now = state();
  for (const auto& [id, entry] : now.jobs()) {
    if (!entry.job.clean) return false;
  }
  return true;
}

void JobsWorld::CheckEnd() {
  if (state().LowestPin() != kTimestampMax) Fail("something is still pinned");
  if (!staged_.empty()) Fail("something is still staged");
  for (const auto& [id, entry] : state().jobs()) {
    bool shown = shown_.count(id) != 0;
    if (shown != (entry.job.state == JobState::kDone)) Fail("shown and not done, or done and not");
    switch (entry.job.state) {
      case JobState::kDone: CheckDone(id, entry); break;
      case JobState::kFailed: CheckFailed(id, entry); break;
      default:
        ++report_.cancelled;
        if (cancelled_.count(id) == 0) Fail("cancelled by nobody");
    }
  }
  std::string left = LeftAtStores();
  if (!left.empty()) Fail(left);
}

void JobsWorld::CheckDone(JobId id, const Entry& entry) {
  ++report_.done;
  const JobSpec& spec = *entry.spec;
  Reference reference = RunAtOnce(spec, inputs_.at(id));
  Pairs rows = shown_.at(id);
  if (spec.order != Order::kTotal && !entry.direct()) {
    std::stable_sort(rows.begin(), rows.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
  }
  std::string name = absl::StrCat("job ", id.value(), " (", spec.map.text, ")");
  if (rows != reference.rows) {
    Fail(absl::StrCat(name, " gave ", rows.size(), " rows, in one go there are ",
                      reference.rows.size()));
  }
  Counters counters = entry.job.counters;
  counters.erase("out");
  if (entry.direct() || spec.reducers > 0) {
    int64_t out = entry.direct() ? 0 : entry.job.counters.at("out");
    if (!entry.direct() && out != reference.counters.at("out")) Fail(name + " counted wrong");
  }
  reference.counters.erase("out");
  if (counters != reference.counters) Fail(name + " counted wrong");
  if (entry.job.bad_count != reference.bad) Fail(name + " skipped other records");
  if (entry.job.bad_records.size() != std::min<uint64_t>(reference.bad, kBadRecordsListed)) {
    Fail(name + " lists other bad records than it skipped");
  }
  if (entry.job.output_records != rows.size()) Fail(name + " tells a wrong number of rows");
}

// Whatever failed, something that happened must explain it.
void JobsWorld::CheckFailed(JobId id, const Entry& entry) {
  ++report_.failed;
  const std::string& why = entry.job.reason;
  const JobLimits& limits = entry.spec->limits;
  auto has = [&](const char* words) { return why.find(words) != std::string::npos; };
  if (has("deadline")) {
    ++report_.deadlines;
    uint64_t age = MillisOf(entry.job.ended) - MillisOf(entry.job.submitted);
    if (limits.deadline_ms == 0 || age < limits.deadline_ms) Fail("failed too soon: " + why);
  } else if (has("bad record")) {
    ++report_.bad_jobs;
    uint64_t bad = RunAtOnce(*entry.spec, inputs_.at(id)).bad;
    if (bad <= limits.bad_records) Fail("failed without reason: " + why);
  } else if (has("limits.attempts")) {
    ++report_.given_up;
    uint64_t most = Effective(limits, state().settings()).attempts;
    bool explained = false;
    for (const auto& [task, times] : injected_) {
      explained |= task.first == id && times >= most && has(ToString(task.second).c_str());
    }
    if (!explained) Fail("failed without reason: " + why);
  } else {
    Fail("failed without reason: " + why);
  }
}

// What a store has or does that it should not any more; empty: nothing.
std::string JobsWorld::LeftAtStores() const {
  for (const Store& store : stores_) {
    for (const auto& [id, bytes] : store.agent->running()) return ToString(id) + " still runs";
    for (const auto& [id, result] : store.agent->finished()) {
      return absl::StrCat("store ", store.id.value(), " was never told that ", ToString(id),
                          " is settled");
    }
    for (const auto& [id, file] : store.files) {
      const Entry* entry = state().Find(id.job);
      const Task* task = entry == nullptr ? nullptr : entry->Find(id.task);
      bool kept = task != nullptr && entry->spec->output.IsFiles() && task->output &&
                  entry->job.state == JobState::kDone && task->output->attempt == id.number;
      if (!kept) return "a file is left behind: " + ToString(id);
    }
  }
  return "";
}

}  // namespace kvd::jobs
