#include "server/service/membership.h"

#include <algorithm>

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

void Membership::Promote(const Promotion& promotion, Done done) {
  uint64_t id = next_id_++;
  waiting_[id] = {promotion, loop_->Now() + promotion.patience, std::move(done), nullptr};
  Poll(id);
}

bool Membership::Heard(ReplicaId replica) const {
  const raft::Core& core = host_->core(group_);
  if (replica == core.id()) return true;
  auto it = core.progress().find(replica);
  return it != core.progress().end() && it->second.last_contact >= core.led_since();
}

Duration Membership::SilenceOf(ReplicaId replica) const {
  const raft::Core& core = host_->core(group_);
  if (replica == core.id()) return Duration::zero();
  auto it = core.progress().find(replica);
  MonotonicTime heard = it == core.progress().end() ? core.led_since() : it->second.last_contact;
  return loop_->Now() - std::max(heard, core.led_since());
}

bool Membership::CaughtUp(ReplicaId learner) const {
  const raft::Core& core = host_->core(group_);
  auto it = core.progress().find(learner);
  return it != core.progress().end() && it->second.state() == raft::Progress::State::kReplicate &&
         it->second.match() + kCaughtUpEntries >= core.log().last_index();
}

raft::MembershipChange Membership::ChangeFor(const Promotion& promotion) const {
  const raft::Configuration& configuration = host_->core(group_).configuration();
  raft::MembershipChange change;
  size_t voters = configuration.voters.size();
  bool replaces_voter = false;
  for (ReplicaId replica : promotion.replaced) {
    if (!configuration.Contains(replica) || SilenceOf(replica) < promotion.silence_min) continue;
    change.remove.push_back(replica);
    replaces_voter = replaces_voter || configuration.IsVoter(replica);
  }
  // A loss leaves a group of any size as large as it was.
  bool enough = promotion.voters_wanted != 0 && voters >= promotion.voters_wanted;
  if (!configuration.IsVoter(promotion.learner) && (replaces_voter || !enough)) {
    change.promote.push_back(promotion.learner);
  }
  return change;
}

void Membership::Poll(uint64_t id) {
  Waiting& waiting = waiting_.at(id);
  const raft::Core& core = host_->core(group_);
  ReplicaId learner = waiting.promotion.learner;
  absl::Status failed;
  if (!core.IsLeader()) {
    failed = NotLeaderError(group_, host_->LeaderStore(group_), "");
  } else if (!core.configuration().Contains(learner)) {
    failed =
        absl::InvalidArgumentError(absl::StrCat("replica ", learner.value(), " is not a member"));
  } else if (loop_->Now() >= waiting.deadline) {
    failed = absl::DeadlineExceededError(
        absl::StrCat("replica ", learner.value(), " has not caught up in time"));
  }
  if (!failed.ok() || core.configuration().IsVoter(learner) || CaughtUp(learner)) {
    std::shared_ptr<Timer> timer = std::move(waiting.timer);
    loop_->Post([timer] {});  // it may be the one that calls
    Waiting done = std::move(waiting);
    waiting_.erase(id);
    if (!failed.ok()) return done.done(failed);
    KVD_FAULT_POINT(kPromoting);
    raft::MembershipChange change = ChangeFor(done.promotion);
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
