// Who does what.
#include <algorithm>

#include "mapreduce/coordinator/coordinator.h"

namespace kvd::jobs {
namespace {

// How many tasks that wait are looked at for one whose data is near.
constexpr size_t kNearLookMax = 128;

}  // namespace

void Coordinator::Assign(const Poll& poll, PollAnswer* answer) {
  uint32_t taken = 0;
  for (const auto& [id, attempt] : attempts_) {
    taken += attempt.store == poll.store && !attempt.finished;
  }
  std::set<JobId> without;
  bool backups = false;
  while (taken < poll.slots) {
    JobId id = NextJob(without);
    if (!id) {
      // Only when nothing else is to be done anywhere.
      if (backups) return;
      backups = true;
      without.clear();
      continue;
    }
    const Entry& entry = *state_->Find(id);
    auto task = backups ? NextBackup(id, entry, poll.store) : NextTask(id, entry, poll.store);
    if (!task) {
      without.insert(id);
      continue;
    }
    answer->start.push_back(Begin(id, entry, *task, poll.store, backups));
    ++taken;
  }
}

// Of those that are most urgent the one that has the least running.
JobId Coordinator::NextJob(const std::set<JobId>& without) const {
  JobId best;
  std::pair<int64_t, uint32_t> best_rank;
  for (const auto& [id, entry] : state_->jobs()) {
    if (entry.job.state != JobState::kRunning || without.count(id) != 0) continue;
    Phase phase = entry.phase();
    if (phase == Phase::kPlan || phase == Phase::kPublish) continue;
    auto run = runs_.find(id);
    uint32_t running = run == runs_.end() ? 0 : run->second.running;
    uint32_t most = entry.spec->limits.concurrency;
    if (most != 0 && running >= most) continue;
    std::pair<int64_t, uint32_t> rank{-int64_t{entry.spec->priority}, running};
    if (best && rank >= best_rank) continue;
    best = id;
    best_rank = rank;
  }
  return best;
}

bool Coordinator::IsWaiting(JobId id, const Entry& entry, const TaskId& task) const {
  if (HasAttempt(id, task)) return false;
  if (task.phase != Phase::kSample) return !entry.Find(task)->available;
  auto run = runs_.find(id);
  return run == runs_.end() || run->second.samples.count(task.number) == 0;
}

void Coordinator::FillWaiting(JobId id, const Entry& entry, JobRun* run) {
  Phase phase = entry.phase();
  // What was proposed and not answered may have been carried out all the same.
  bool old = run->waiting.empty() && now_ >= run->refill_at;
  if (phase == run->waiting_phase && !run->stale && !old) return;
  run->refill_at = now_ + std::chrono::seconds(1);
  run->waiting.clear();
  run->waiting_phase = phase;
  run->stale = false;
  if (phase == Phase::kSample) {
    for (uint32_t task : SampleTasks(entry)) run->waiting.insert(task);
    return;
  }
  const std::vector<Task>& tasks = phase == Phase::kReduce ? entry.reduces : entry.maps;
  for (uint32_t i = 0; i < tasks.size(); ++i) {
    if (IsWaiting(id, entry, {phase, i})) run->waiting.insert(i);
  }
}

bool Coordinator::IsNear(const Entry& entry, const TaskId& task, StoreId store) const {
  if (task.phase == Phase::kReduce) return true;
  std::vector<StoreId> holders = port_->Holders(entry.Find(task)->slice);
  return std::find(holders.begin(), holders.end(), store) != holders.end();
}

// Where it came to harm it may run again if there is no other store.
bool Coordinator::MayRunHere(const TaskRun* known, StoreId store) const {
  if (known == nullptr) return true;
  if (now_ < known->not_before) return false;
  if (known->avoid.count(store) == 0) return true;
  return std::all_of(workers_.begin(), workers_.end(), [&](const auto& worker) {
    return known->avoid.count(worker.first) != 0 || IsSilent(worker.first, options_.lease);
  });
}

std::optional<TaskId> Coordinator::NextTask(JobId id, const Entry& entry, StoreId store) {
  JobRun& run = runs_[id];
  FillWaiting(id, entry, &run);
  std::optional<TaskId> far;
  size_t looked = 0;
  for (auto it = run.waiting.begin(); it != run.waiting.end() && looked < kNearLookMax;) {
    TaskId task{run.waiting_phase, *it};
    if (!IsWaiting(id, entry, task)) {
      it = run.waiting.erase(it);
      continue;
    }
    ++it;
    ++looked;
    auto known = run.tasks.find(task);
    if (!MayRunHere(known == run.tasks.end() ? nullptr : &known->second, store)) continue;
    if (IsNear(entry, task, store)) return task;
    TaskRun& waits = run.tasks[task];
    if (waits.waits_since == kLongAgo) waits.waits_since = now_;
    if (!far && now_ >= waits.waits_since + options_.locality_wait) far = task;
  }
  return far;
}

// A task that runs at under half the pace of most, when nearly all of its phase is done, runs a
// second time elsewhere: of both the first to end counts.
std::optional<TaskId> Coordinator::NextBackup(JobId id, const Entry& entry, StoreId store) {
  Phase phase = entry.phase();
  if (phase == Phase::kSample) return std::nullopt;
  bool reduce = phase == Phase::kReduce;
  uint32_t tasks = reduce ? entry.job.reducers : entry.job.maps;
  uint32_t done = reduce ? entry.reduces_available : entry.maps_available;
  PhaseRun& run = runs_[id].phases[phase];
  bool nearly = uint64_t{done} * 5 > uint64_t{tasks} * 4 || (tasks > 1 && tasks - done == 1);
  if (!nearly || run.rates.empty() || run.backups >= std::max(1u, tasks / 10)) return std::nullopt;
  std::vector<double> rates = run.rates;
  auto middle = rates.begin() + static_cast<ptrdiff_t>(rates.size() / 2);
  std::nth_element(rates.begin(), middle, rates.end());
  for (auto it = First(id, {phase, 0}); it != attempts_.end(); ++it) {
    if (it->first.job != id || it->first.task.phase != phase) break;
    const Attempt& attempt = it->second;
    if (attempt.finished || attempt.store == store) continue;
    if (now_ < attempt.begun + options_.backup_after) continue;
    double seconds = std::chrono::duration<double>(now_ - attempt.begun).count();
    if (static_cast<double>(attempt.bytes_done) / seconds * 2 >= *middle) continue;
    auto first = First(id, it->first.task);
    auto second = std::next(first);
    bool alone = second == attempts_.end() || second->first.job != id ||
                 second->first.task != it->first.task;
    if (alone && !entry.Find(it->first.task)->available) return it->first.task;
  }
  return std::nullopt;
}

Assignment Coordinator::Begin(JobId id, const Entry& entry, const TaskId& task, StoreId store,
                              bool backup) {
  JobRun& run = runs_[id];
  Assignment a;
  a.id = {id, task, (term_ << kAttemptBits) + next_attempt_++};
  a.spec = entry.spec;
  a.limits = Effective(entry.spec->limits, state_->settings());
  a.at = entry.job.pin;
  const Task& known = *entry.Find(task);
  if (task.phase == Phase::kReduce) {
    for (const Task& map : entry.maps) {
      uint32_t number = static_cast<uint32_t>(a.sources.size());
      a.sources.push_back({number, map.output->store, map.output->attempt});
    }
  } else {
    a.slice = known.slice;
    a.partitions = entry.direct() ? 1 : entry.job.reducers;
    a.splitters = entry.job.splitters;
    if (task.phase == Phase::kSample) a.sample_bytes = options_.sample_bytes;
  }
  for (const BadRecord& bad : known.skipped) a.skip.push_back(bad.key);
  Attempt attempt;
  attempt.store = store;
  attempt.begun = now_;
  attempt.skipped = known.skipped.size();
  attempt.backup = backup;
  attempts_.emplace(a.id, attempt);
  ++run.running;
  run.waiting.erase(task.number);
  PhaseRun& phase = run.phases[task.phase];
  TaskRun& seen = run.tasks[task];
  if (backup) {
    ++phase.backups;
  } else if (seen.attempts != 0 || known.output) {
    ++phase.reruns;
  }
  ++seen.attempts;
  return a;
}

}  // namespace kvd::jobs
