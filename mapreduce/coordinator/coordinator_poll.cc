// What stores say, and what is made of it.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "mapreduce/coordinator/coordinator.h"
#include "proto/bytes.h"

namespace kvd::jobs {

std::optional<PollAnswer> Coordinator::OnPoll(const Poll& poll, MonotonicTime now) {
  now_ = std::max(now_, now);
  Worker* worker = Hear(poll);
  if (worker == nullptr) return std::nullopt;
  PollAnswer answer;
  answer.term = term_;
  answer.number = poll.number;
  if (poll.files) TakeFiles(poll.store, *poll.files);
  worker->told_files |= poll.files.has_value();
  answer.tell_files = !worker->told_files;
  TakeMarks(poll);
  TakeRunning(poll, &answer);
  for (const AttemptResult& result : poll.finished) TakeResult(poll.store, result, &answer);
  if (worker->told_files && !Waits(now_)) Assign(poll, &answer);
  TellDrops(poll, &answer);
  TellMarks(poll, &answer);
  return answer;
}

// Null: the poll says what was so earlier.
Coordinator::Worker* Coordinator::Hear(const Poll& poll) {
  Worker& worker = workers_[poll.store];
  if (poll.incarnation < worker.incarnation) return nullptr;
  if (poll.incarnation > worker.incarnation) {
    RemoveOf(poll.store);
    worker = Worker();
    worker.incarnation = poll.incarnation;
  }
  if (poll.number <= worker.number) return nullptr;
  worker.number = poll.number;
  worker.heard = now_;
  worker.slots = poll.slots;
  return &worker;
}

// What the log says the store has and it has not is lost.
void Coordinator::TakeFiles(StoreId store, const std::vector<AttemptId>& files) {
  std::set<AttemptId> there(files.begin(), files.end());
  for (const auto& [id, entry] : state_->jobs()) {
    std::vector<AttemptId> lost;
    for (Phase phase : {Phase::kMap, Phase::kReduce}) {
      if (!entry.Needs({phase, 0})) continue;
      const std::vector<Task>& tasks = phase == Phase::kMap ? entry.maps : entry.reduces;
      for (uint32_t i = 0; i < tasks.size(); ++i) {
        if (!tasks[i].available || tasks[i].output->store != store) continue;
        AttemptId file{id, {phase, i}, tasks[i].output->attempt};
        if (there.count(file) == 0) lost.push_back(file);
      }
    }
    if (!lost.empty()) Lose(id, std::move(lost));
  }
}

// An attempt that the store does not tell of any more is none: it was cancelled there, or never
// got there.
void Coordinator::TakeRunning(const Poll& poll, PollAnswer* answer) {
  std::set<AttemptId> told;
  for (const AttemptResult& result : poll.finished) told.insert(result.id);
  for (const RunningAttempt& running : poll.running) {
    told.insert(running.id);
    auto it = attempts_.find(running.id);
    const Entry* entry = state_->Find(running.id.job);
    if (it == attempts_.end()) {
      Attempt adopted;
      adopted.store = poll.store;
      adopted.begun = now_;
      adopted.adopted = true;
      const Task* task = entry == nullptr ? nullptr : entry->Find(running.id.task);
      if (task != nullptr) adopted.skipped = task->skipped.size();
      if (HasAttempt(running.id.job, running.id.task) || !IsWanted(running.id, adopted)) {
        answer->cancel.push_back(running.id);
        continue;
      }
      it = attempts_.emplace(running.id, adopted).first;
      ++runs_[running.id.job].running;
    }
    it->second.bytes_done = std::max(it->second.bytes_done, running.bytes_done);
    if (IsWanted(it->first, it->second)) continue;
    answer->cancel.push_back(it->first);
    Remove(it);
  }
  for (auto it = attempts_.begin(); it != attempts_.end();) {
    auto next = std::next(it);
    if (it->second.store == poll.store && told.count(it->first) == 0) Remove(it);
    it = next;
  }
}

bool Coordinator::IsWanted(const AttemptId& id, const Attempt& attempt) const {
  const Entry* entry = state_->Find(id.job);
  if (entry == nullptr || entry->job.state != JobState::kRunning) return false;
  const Task* task = entry->Find(id.task);
  if (task == nullptr || !entry->job.planned) return false;
  if (id.task.phase == Phase::kSample) {
    auto run = runs_.find(id.job);
    bool known = run != runs_.end() && run->second.samples.count(id.task.number) != 0;
    return entry->phase() == Phase::kSample && !known;
  }
  return !task->available && id.number > task->over_upto && attempt.skipped == task->skipped.size();
}

void Coordinator::TakeResult(StoreId store, const AttemptResult& result, PollAnswer* answer) {
  const Entry* entry = state_->Find(result.id.job);
  bool runs = entry != nullptr && entry->job.state == JobState::kRunning && entry->job.planned &&
              entry->Find(result.id.task) != nullptr;
  auto it = attempts_.find(result.id);
  if (runs && result.outcome == Outcome::kDone) {
    if (it != attempts_.end() && !it->second.finished) {
      double seconds = std::chrono::duration<double>(now_ - it->second.begun).count();
      auto& rates = runs_[result.id.job].phases[result.id.task.phase].rates;
      uint64_t bytes = TaskBytes(*entry, result.id.task);
      if (seconds > 0 && rates.size() < 1'000)
        rates.push_back(static_cast<double>(bytes) / seconds);
    }
    if (!TakeDone(store, *entry, result)) return;
  } else if (runs && it != attempts_.end()) {
    // One that is not known was counted already, or it was an earlier leader's.
    TakeFailure(store, *entry, result);
    it = attempts_.find(result.id);
  }
  answer->settled.push_back(result.id);
  if (it != attempts_.end()) Remove(it);
}

bool Coordinator::TakeDone(StoreId store, const Entry& entry, const AttemptResult& result) {
  JobRun& run = runs_[result.id.job];
  if (result.id.task.phase == Phase::kSample) {
    run.samples.emplace(result.id.task.number, result.sample);
    return true;
  }
  const Task& task = *entry.Find(result.id.task);
  bool taken = !task.available && result.id.number > task.over_upto &&
               result.output.skipped == task.skipped.size();
  if (!taken) return true;
  auto it = attempts_.find(result.id);
  if (it != attempts_.end() && !it->second.finished) {
    it->second.finished = true;
    --run.running;
  }
  if (!proposed_.insert(result.id).second) return false;
  Command command = JobCommand(CommandKind::kComplete, result.id.job);
  command.task = result.id.task;
  command.output = result.output;
  command.output.store = store;
  command.output.attempt = result.id.number;
  propose_(command, [this, id = result.id,
                     alive = std::weak_ptr<bool>(alive_)](const absl::StatusOr<Result>&) {
    auto held = alive.lock();
    if (held != nullptr && *held) proposed_.erase(id);
  });
  return false;
}

void Coordinator::TakeFailure(StoreId store, const Entry& entry, const AttemptResult& result) {
  runs_[result.id.job].tasks[result.id.task].not_before = now_ + options_.task_pause;
  switch (result.outcome) {
    case Outcome::kBadRecord: return TakeBadRecord(entry, result);
    case Outcome::kFetchFailed:
      if (TakeLostSources(entry, result)) return;
      break;
    case Outcome::kFailed:
    case Outcome::kDone: break;
  }
  CountFailure(store, entry, result);
}

// Two hits are a record's fault, and not held against the task. Records that are bad only now and
// then must not go on for ever.
void Coordinator::TakeBadRecord(const Entry& entry, const AttemptResult& result) {
  TaskRun& run = runs_[result.id.job].tasks[result.id.task];
  uint32_t hits = ++run.bad_hits[result.bad.key];
  ++run.loose_hits;
  if (hits >= options_.bad_hits) {
    run.loose_hits -= std::min(run.loose_hits, hits);
    Command command = JobCommand(CommandKind::kSkip, result.id.job);
    command.task = result.id.task;
    command.bad = result.bad;
    command.bad.reason.resize(std::min(command.bad.reason.size(), kReasonBytesMax));
    return propose_(command, [](const absl::StatusOr<Result>&) {});
  }
  uint32_t most = options_.bad_hits * Effective(entry.spec->limits, state_->settings()).attempts;
  if (run.loose_hits <= most) return;
  EndJob(result.id.job, JobState::kFailed,
         absl::StrCat(ToString(result.id.task), " blamed ", run.loose_hits,
                      " records that were not bad again; the last one: ", Printable(result.bad.key),
                      ": ", result.bad.reason));
}

// Whether something is lost, or has been replaced by now: then the reduce attempt is not to blame.
bool Coordinator::TakeLostSources(const Entry& entry, const AttemptResult& result) {
  JobRun& run = runs_[result.id.job];
  std::vector<AttemptId> lost;
  for (const LostSource& source : result.lost) {
    if (source.map >= entry.maps.size()) continue;
    TaskId map{Phase::kMap, source.map};
    const Task& task = entry.maps[source.map];
    if (!task.available || task.output->attempt != source.attempt) continue;
    StoreId store = task.output->store;
    uint32_t hits = ++run.tasks[map].unreachable_hits[source.attempt];
    bool gone = source.damaged || IsSilent(store, options_.lease);
    if (!gone && hits < options_.unreachable_hits) continue;
    run.tasks[map].avoid.insert(store);
    lost.push_back({result.id.job, map, source.attempt});
  }
  if (!lost.empty()) Lose(result.id.job, std::move(lost));
  return !result.lost.empty();
}

void Coordinator::CountFailure(StoreId store, const Entry& entry, const AttemptResult& result) {
  TaskRun& task = runs_[result.id.job].tasks[result.id.task];
  ++task.failures;
  uint32_t most = Effective(entry.spec->limits, state_->settings()).attempts;
  if (!result.permanent && task.failures < most) return;
  EndJob(result.id.job, JobState::kFailed,
         absl::StrCat(ToString(result.id.task), " failed ", task.failures,
                      " times (limits.attempts is ", most, "), the last time on store ",
                      store.value(), ": ", result.reason));
}

void Coordinator::TellDrops(const Poll& poll, PollAnswer* answer) const {
  for (JobId id : poll.jobs) {
    const Entry* entry = state_->Find(id);
    // Of one that this leader has not heard of, a later one may have.
    if (entry == nullptr && id >= state_->ids().next_job) continue;
    if (entry != nullptr && !IsOver(entry->job.state)) continue;
    Drop drop{id, {}};
    bool keeps =
        entry != nullptr && entry->job.state == JobState::kDone && entry->spec->output.IsFiles();
    if (keeps) {
      Phase phase = entry->direct() ? Phase::kMap : Phase::kReduce;
      uint32_t number = 0;
      for (const Task& task : entry->outputs()) {
        bool here = task.output && task.output->store == poll.store;
        if (here) drop.keep.push_back({id, {phase, number}, task.output->attempt});
        ++number;
      }
    }
    answer->drop.push_back(std::move(drop));
  }
}

}  // namespace kvd::jobs
