// Changing members by joint consensus (thesis, 4.3). A configuration holds from its append on.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "proto/check.h"
#include "raft/core/core.h"

namespace kvd::raft {
namespace {

void EraseReplica(std::vector<Member>& members, ReplicaId id) {
  std::erase_if(members, [&](const Member& m) { return m.replica == id; });
}

absl::Status Bad(ReplicaId id, const char* why) {
  return absl::InvalidArgumentError(absl::StrCat("replica ", id.value(), " ", why));
}

// The configuration that `change` leads to, not yet joint.
absl::StatusOr<Configuration> Target(const Configuration& from, const MembershipChange& change) {
  Configuration to = from;
  for (ReplicaId id : change.remove) {
    if (!from.Contains(id)) return Bad(id, "is not a member");
    EraseReplica(to.voters, id);
    EraseReplica(to.learners, id);
  }
  for (const Member& m : change.add_learners) {
    if (!m.replica || !m.store) return Bad(m.replica, "needs an id and a store");
    if (from.Contains(m.replica)) return Bad(m.replica, "is a member already");
    if (from.IsExpelled(m.replica)) return Bad(m.replica, "was put out for good");
    if (to.ReplicaOn(m.store)) {
      return absl::InvalidArgumentError(
          absl::StrCat("store ", m.store.value(), " holds a replica already"));
    }
    to.learners.push_back(m);
  }
  for (ReplicaId id : change.promote) {
    if (!to.IsLearner(id)) return Bad(id, "is not a learner");
    to.voters.push_back({id, to.StoreOf(id)});
    EraseReplica(to.learners, id);
  }
  if (to.voters.empty()) {
    return absl::InvalidArgumentError("the change would leave no voter");
  }
  std::sort(to.voters.begin(), to.voters.end());
  std::sort(to.learners.begin(), to.learners.end());
  return to;
}

}  // namespace

const Configuration& Core::ConfigurationAt(Index index) const {
  KVD_CHECK(index >= log_.start());
  const Configuration* found = &configurations_.front().configuration;
  for (const ConfigurationAtIndex& c : configurations_) {
    if (c.index > index) break;
    found = &c.configuration;
  }
  return *found;
}

absl::StatusOr<Index> Core::ChangeMembership(MonotonicTime now, const MembershipChange& change) {
  SetNow(now);
  if (role_ != Role::kLeader) return absl::UnavailableError("not the leader");
  // Two changes at once could elect two leaders; neither may one start before this term's first
  // commit (the defect of single-server changes found in 2015 applies alike).
  if (configuration().IsJoint() || configurations_.back().index > commit_index()) {
    return absl::FailedPreconditionError("another membership change is under way");
  }
  if (!KnowsCommitted()) {
    return absl::FailedPreconditionError("the leader has not committed an entry of its term yet");
  }
  auto target = Target(configuration(), change);
  if (!target.ok()) return target.status();
  if (*target == configuration()) return absl::InvalidArgumentError("the change changes nothing");
  Configuration next = *std::move(target);
  if (next.voters != configuration().voters) next.outgoing = configuration().voters;
  AppendAsLeader(EntryType::kConfiguration, next.Encode());
  AdoptConfiguration(log_.last_index(), std::move(next));
  BroadcastAppend();
  return log_.last_index();
}

void Core::AdoptConfiguration(Index index, Configuration configuration) {
  configurations_.push_back({index, std::move(configuration)});
  if (role_ == Role::kLeader) SyncProgress();
}

void Core::DropConfigurationsFrom(Index index) {
  while (configurations_.size() > 1 && configurations_.back().index >= index) {
    configurations_.pop_back();
  }
}

// Makes the leader's book-keeping match the members in force.
void Core::SyncProgress() {
  std::erase_if(progress_, [&](const auto& item) { return !configuration().Contains(item.first); });
  for (const Member& m : configuration().Members()) {
    if (m.replica == id_ || progress_.contains(m.replica)) continue;
    Progress progress(log_.last_index() + 1, options_.inflight_bytes_max,
                      options_.inflight_messages_max);
    progress_.emplace(m.replica, std::move(progress));
  }
}

// Goes on once the configuration in force is committed: leaves the joint one, or leaves office.
void Core::OnCommittedConfiguration() {
  if (role_ != Role::kLeader || configurations_.back().index > commit_index()) return;
  if (configuration().IsJoint()) {
    Configuration final_one = configuration();
    final_one.outgoing.clear();
    AppendAsLeader(EntryType::kConfiguration, final_one.Encode());
    AdoptConfiguration(log_.last_index(), std::move(final_one));
    BroadcastAppend();
    return;
  }
  // Who has left is told, since nobody will write to it any more.
  if (configurations_.size() > 1) {
    for (const Member& m : configurations_[configurations_.size() - 2].configuration.Members()) {
      if (m.replica == id_ || configuration().Contains(m.replica)) continue;
      Send(Envelope(MessageType::kRemoved, m.replica));
    }
  }
  if (configuration().IsVoter(id_)) return;
  // Removed by its own hand (thesis, 4.2.2): the followers learn of the commit, the best of them
  // starts an election at once.
  ReplicaId best;
  Index best_match;
  for (auto& [peer, progress] : progress_) {
    MaybeSendAppend(peer, progress, /*send_empty=*/true);
    if (configuration().IsVoter(peer) && !progress.needs_state && progress.match() >= best_match) {
      best = peer;
      best_match = progress.match();
    }
  }
  if (best) SendTimeoutNow(best, progress_.at(best));
  BecomeFollower(term(), ReplicaId());
  removed_ = !configuration().Contains(id_);
}

}  // namespace kvd::raft
