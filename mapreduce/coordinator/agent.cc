#include "mapreduce/coordinator/agent.h"

namespace kvd::jobs {

void Agent::Tick(MonotonicTime now) {
  CheckLease(now);
  Duration since = now - sent_at_;
  if (waiting_ ? since >= options_.poll_timeout : again_ || since >= options_.poll_interval) {
    SendPoll(now);
  }
}

// Whoever can't be reached for a lease may have given the attempts to others.
void Agent::CheckLease(MonotonicTime now) {
  if (running_.empty() || now < renewed_at_ + options_.lease) return;
  for (const auto& [id, bytes] : running_) runner_->Cancel(id);
  running_.clear();
}

void Agent::SendPoll(MonotonicTime now) {
  Poll poll;
  poll.store = store_;
  poll.incarnation = incarnation_;
  poll.number = ++number_;
  poll.slots = options_.slots;
  for (const auto& [id, bytes] : running_) poll.running.push_back({id, bytes});
  for (const auto& [id, result] : finished_) poll.finished.push_back(result);
  std::vector<AttemptId> files = runner_->Files();
  std::set<JobId> jobs;
  for (const AttemptId& file : files) jobs.insert(file.job);
  poll.jobs.assign(jobs.begin(), jobs.end());
  if (tell_files_) poll.files = std::move(files);
  poll.marks = marks_;
  waiting_ = true;
  again_ = false;
  sent_at_ = now;
  send_(poll);
}

void Agent::OnAnswer(const PollAnswer& answer, MonotonicTime now) {
  if (!waiting_ || answer.number != number_ || answer.term < term_) return;
  waiting_ = false;
  term_ = answer.term;
  renewed_at_ = sent_at_;
  bool asked = answer.tell_files && !tell_files_;
  tell_files_ = answer.tell_files;
  for (const AttemptId& id : answer.settled) finished_.erase(id);
  for (const AttemptId& id : answer.cancel) {
    if (running_.erase(id) != 0) runner_->Cancel(id);
  }
  for (const Drop& drop : answer.drop) DropJob(drop);
  marks_ = answer.marks;
  for (const Assignment& assignment : answer.start) {
    running_[assignment.id] = 0;
    runner_->Start(assignment);
  }
  // An answer that was long on its way has less than a lease left, or nothing.
  CheckLease(now);
  if (again_ || asked) SendPoll(now);
}

void Agent::DropJob(const Drop& drop) {
  for (auto it = running_.lower_bound({drop.job, {Phase::kPlan, 0}, 0}); it != running_.end();) {
    if (it->first.job != drop.job) break;
    runner_->Cancel(it->first);
    it = running_.erase(it);
  }
  runner_->Drop(drop.job, drop.keep);
}

void Agent::OnProgress(const AttemptId& attempt, uint64_t bytes_done) {
  auto it = running_.find(attempt);
  if (it != running_.end()) it->second = std::max(it->second, bytes_done);
}

void Agent::OnFinished(AttemptResult result, MonotonicTime now) {
  if (running_.erase(result.id) == 0) return;
  AttemptId id = result.id;
  finished_[id] = std::move(result);
  if (waiting_) {
    again_ = true;
  } else {
    SendPoll(now);
  }
}

}  // namespace kvd::jobs
