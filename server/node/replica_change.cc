#include "server/node/replica_change.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "proto/error.h"
#include "proto/fault_point.h"

namespace kvd::node {
namespace {

// A learner this close to the leader's last entry holds up no commit once it votes.
constexpr uint64_t kCaughtUpEntries = 100;
constexpr Duration kStepInterval = milliseconds(50);

}  // namespace

ReplicaChange::~ReplicaChange() {
  Finish(absl::UnavailableError("the replica that led was removed from its store"));
}

void ReplicaChange::Finish(absl::StatusOr<bool> result) {
  if (!done_) return;
  Done done = std::move(done_);
  done_ = nullptr;
  timer_.reset();
  done(std::move(result));
}

void ReplicaChange::Run(const Change& change, Duration patience, Done done) {
  Finish(absl::AbortedError("the change of replicas was asked for again"));
  change_ = change;
  done_ = std::move(done);
  deadline_ = loop_->Now() + patience;
  Step();
}

void ReplicaChange::Step() {
  if (!done_) return;
  if (!group_->ready()) {
    return Finish(NotLeaderError(group_->group(), host_->LeaderStore(group_->group()), ""));
  }
  over_ = false;
  absl::StatusOr<bool> result = submitted_ ? false : Look();
  if (over_ || !result.ok()) return Finish(std::move(result));
  if (loop_->Now() >= deadline_) {
    return Finish(
        absl::AbortedError(absl::StrCat("group ", group_->group().value(), ": ", progress_)));
  }
  timer_ = loop_->After(kStepInterval, [this] {
    // It outlives the call that it makes.
    loop_->Post([timer = std::shared_ptr<Timer>(std::move(timer_))] {});
    Step();
  });
}

bool ReplicaChange::IsCarriedOut() const {
  const raft::Configuration& now = host_->core(group_->group()).configuration();
  return std::all_of(change_.added.begin(), change_.added.end(),
                     [&](const raft::Member& m) { return now.IsVoter(m.replica); }) &&
         std::none_of(change_.removed.begin(), change_.removed.end(),
                      [&](ReplicaId r) { return now.Contains(r); });
}

bool ReplicaChange::CaughtUp(ReplicaId learner) const {
  const raft::Core& core = host_->core(group_->group());
  auto it = core.progress().find(learner);
  return it != core.progress().end() && it->second.state() == raft::Progress::State::kReplicate &&
         it->second.match() + kCaughtUpEntries >= core.log().last_index();
}

absl::StatusOr<bool> ReplicaChange::Look() {
  const raft::Core& core = host_->core(group_->group());
  const raft::Configuration& now = core.configuration();
  bool settled = !now.IsJoint() && core.applied_index() >= core.configuration_index();
  if (!settled) {
    progress_ = "a change of members is being committed";
    return false;
  }
  if (IsCarriedOut()) {
    KVD_FAULT_POINT(kChangeCarriedOut);
    over_ = true;
    return true;
  }
  raft::MembershipChange next;
  if (change_.abandon) {
    // From then on nothing that comes late begins it anew.
    if (group_->meta().fence < change_.operation) return Fence(change_.operation), false;
    for (const raft::Member& m : change_.added) {
      if (now.Contains(m.replica)) next.remove.push_back(m.replica);
    }
    over_ = next.remove.empty();
    if (!over_) Submit(next);
    return false;
  }
  if (group_->meta().fence >= change_.operation) {
    return absl::FailedPreconditionError(absl::StrCat("operation ", change_.operation.value(),
                                                      " on group ", group_->group().value(),
                                                      " was given up, or is long over"));
  }
  // Earlier ones are over: one that comes late must not bring back who has left since.
  if (group_->meta().fence + 1 < change_.operation) return Fence(change_.operation - 1), false;
  for (const raft::Member& m : change_.added) {
    if (!now.Contains(m.replica)) next.add_learners.push_back(m);
  }
  if (!next.add_learners.empty()) {
    KVD_FAULT_POINT(kLearnerAdded);
    return Submit(next), false;
  }
  for (const raft::Member& m : change_.added) {
    if (now.IsVoter(m.replica)) continue;
    next.promote.push_back(m.replica);
    if (CaughtUp(m.replica)) continue;
    progress_ = absl::StrCat("replica ", m.replica.value(), " on store ", m.store.value(),
                             " has not caught up yet");
    return false;
  }
  for (ReplicaId r : change_.removed) {
    if (now.Contains(r)) next.remove.push_back(r);
  }
  KVD_FAULT_POINT(kPromoting);
  return Submit(next), false;
}

void ReplicaChange::Fence(OperationId upto) {
  submitted_ = true;
  progress_ = "earlier changes are being fenced off";
  shard::Command command;
  command.kind = shard::CommandKind::kFence;
  command.operation = upto;
  group_->Submit(std::move(command), [this, alive = std::weak_ptr<bool>(alive_)](const auto&) {
    if (alive.expired()) return;
    KVD_FAULT_POINT(kChangeFenced);
    submitted_ = false;
  });
}

void ReplicaChange::Submit(const raft::MembershipChange& change) {
  submitted_ = true;
  progress_ = "a change of members is being committed";
  host_->ChangeMembership(group_->group(), change,
                          [this, alive = std::weak_ptr<bool>(alive_)](const absl::Status& status) {
                            if (alive.expired()) return;
                            submitted_ = false;
                            if (!status.ok()) progress_ = std::string(status.message());
                          });
}

}  // namespace kvd::node
