#include "server/service/membership.h"

#include "absl/strings/str_cat.h"
#include "proto/error.h"
#include "proto/fault_point.h"

namespace kvd::service {

namespace {
// A learner this close to the leader's last entry holds up no commit once it votes.
constexpr uint64_t kCaughtUpEntries = 100;
constexpr Duration kPollInterval = milliseconds(50);
}  // namespace

void Membership::AddLearner(raft::Member member, Done done) {
  if (!host_->core(group_).IsLeader()) {
    return done(NotLeaderError(group_, host_->LeaderStore(group_), ""));
  }
  if (host_->core(group_).configuration().Contains(member.replica)) return done(absl::OkStatus());
  raft::MembershipChange change;
  KVD_FAULT_POINT(kLearnerAdded);
  change.add_learners.push_back(member);
  host_->ChangeMembership(group_, change, std::move(done));
}

void Membership::Promote(ReplicaId learner, ReplicaId replaced, Duration patience, Done done,
                         size_t voters_wanted) {
  uint64_t id = next_id_++;
  waiting_[id] = {learner, replaced, loop_->Now() + patience, std::move(done), voters_wanted, nullptr};
  Poll(id);
}

bool Membership::CaughtUp(ReplicaId learner) const {
  const raft::Core& core = host_->core(group_);
  auto it = core.progress().find(learner);
  return it != core.progress().end() &&
         it->second.state() == raft::Progress::State::kReplicate &&
         it->second.match() + kCaughtUpEntries >= core.log().last_index();
}

void Membership::Poll(uint64_t id) {
  Waiting& waiting = waiting_.at(id);
  const raft::Core& core = host_->core(group_);
  absl::Status failed;
  if (!core.IsLeader()) {
    failed = NotLeaderError(group_, host_->LeaderStore(group_), "");
  } else if (!core.configuration().Contains(waiting.learner)) {
    failed = absl::InvalidArgumentError(
        absl::StrCat("replica ", waiting.learner.value(), " is not a member"));
  } else if (loop_->Now() >= waiting.deadline) {
    failed = absl::DeadlineExceededError(
        absl::StrCat("replica ", waiting.learner.value(), " has not caught up in time"));
  }
  if (!failed.ok() || core.configuration().IsVoter(waiting.learner) || CaughtUp(waiting.learner)) {
    std::shared_ptr<Timer> timer = std::move(waiting.timer);
    loop_->Post([timer] {});  // it may be the one that calls
    Waiting done = std::move(waiting);
    waiting_.erase(id);
    if (!failed.ok()) return done.done(failed);
    raft::MembershipChange change;
    bool enough = done.voters_wanted != 0 && core.configuration().voters.size() >= done.voters_wanted;
    KVD_FAULT_POINT(kPromoting);
    if (!core.configuration().IsVoter(done.learner) && !enough) change.promote.push_back(done.learner);
    if (core.configuration().Contains(done.replaced)) change.remove.push_back(done.replaced);
    if (change.promote.empty() && change.remove.empty()) return done.done(absl::OkStatus());
    return host_->ChangeMembership(group_, change, std::move(done.done));
  }
  waiting.timer = loop_->After(kPollInterval, [this, id] { Poll(id); });
}

void Membership::Remove(ReplicaId replica, Done done) {
  raft::MembershipChange change;
  change.remove.push_back(replica);
  host_->ChangeMembership(group_, change, std::move(done));
}

}  // namespace kvd::service
