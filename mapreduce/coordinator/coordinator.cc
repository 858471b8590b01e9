#include "mapreduce/coordinator/coordinator.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/bytes.h"

namespace kvd::jobs {

Coordinator::Coordinator(uint64_t term, MonotonicTime now, const State* state, Port* port,
                         Propose propose, const FunctionCatalog* catalog,
                         ChooseSplitters choose_splitters, CoordinatorOptions options)
    : term_(term),
      began_(now),
      state_(state),
      port_(port),
      propose_(std::move(propose)),
      catalog_(catalog),
      choose_splitters_(std::move(choose_splitters)),
      options_(options),
      now_(now) {}

void Coordinator::Tick(MonotonicTime now, Timestamp clock) {
  now_ = now;
  clock_ = clock;
  for (auto& [store, worker] : workers_) {
    if (IsSilent(store, options_.lease)) RemoveOf(store);
  }
  // What attempts ran for, and is over.
  for (auto it = attempts_.begin(); it != attempts_.end();) {
    auto next = std::next(it);
    const Entry* entry = state_->Find(it->first.job);
    if (entry == nullptr || entry->job.state != JobState::kRunning) Remove(it);
    it = next;
  }
  for (auto it = runs_.begin(); it != runs_.end();) {
    it = state_->Find(it->first) == nullptr ? runs_.erase(it) : std::next(it);
  }
  for (const auto& [id, entry] : state_->jobs()) {
    if (!entry.job.clean) Drive(id, entry);
  }
  StartJobs();
  if (now < forget_at_ || state_->Forgettable(clock).empty()) return;
  forget_at_ = now + options_.retry_after_max;
  Command forget;
  forget.kind = CommandKind::kForget;
  propose_(forget, [](const absl::StatusOr<Result>&) {});
}

void Coordinator::Submit(const JobSpec& spec, uint64_t nonce,
                         std::function<void(absl::StatusOr<JobId>)> done) {
  absl::Status valid = kvd::jobs::Validate(spec, state_->settings(), catalog_);
  if (!valid.ok()) return done(valid);
  Command command;
  command.kind = CommandKind::kSubmit;
  command.spec = spec;
  command.nonce = nonce;
  propose_(command, [done = std::move(done)](const absl::StatusOr<Result>& result) {
    if (!result.ok()) return done(result.status());
    done(result->job);
  });
}

void Coordinator::Cancel(JobId job, const std::string& reason,
                         std::function<void(absl::Status)> done) {
  Command command = JobCommand(CommandKind::kEnd, job);
  command.state = JobState::kCancelled;
  command.text = reason;
  propose_(command,
           [done = std::move(done)](const absl::StatusOr<Result>& r) { done(r.status()); });
}

Command Coordinator::JobCommand(CommandKind kind, JobId id) const {
  Command command;
  command.kind = kind;
  command.job = id;
  return command;
}

void Coordinator::Remove(std::map<AttemptId, Attempt>::iterator it) {
  auto run = runs_.find(it->first.job);
  if (run != runs_.end()) {
    if (!it->second.finished) --run->second.running;
    if (it->first.task.phase == run->second.waiting_phase) {
      run->second.waiting.insert(it->first.task.number);
    }
    run->second.tasks[it->first.task].waits_since = now_;
  }
  attempts_.erase(it);
}

void Coordinator::RemoveOf(StoreId store) {
  for (auto it = attempts_.begin(); it != attempts_.end();) {
    auto next = std::next(it);
    if (it->second.store == store) Remove(it);
    it = next;
  }
}

// A store that this leader has not heard of may be on its way for as long as it leads.
bool Coordinator::IsSilent(StoreId store, Duration silence) const {
  auto it = workers_.find(store);
  MonotonicTime heard = it == workers_.end() ? began_ : it->second.heard;
  return now_ >= heard + silence;
}

std::map<AttemptId, Attempt>::const_iterator Coordinator::First(JobId id,
                                                                const TaskId& task) const {
  return attempts_.lower_bound({id, task, 0});
}

bool Coordinator::HasAttempt(JobId id, const TaskId& task) const {
  auto it = First(id, task);
  return it != attempts_.end() && it->first.job == id && it->first.task == task;
}

}  // namespace kvd::jobs
