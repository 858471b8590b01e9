// Elections: pre-vote, vote, transfer, check-quorum (thesis, 3.4, 9.6, 3.10, 6.2).
#include "proto/check.h"
#include "raft/core/core.h"

namespace kvd::raft {

// A learner may by the rules of its own log lead what its log says are voters; it gives up office
// as soon as it has committed something (OnCommittedConfiguration).
bool Core::MayCampaign() const {
  if (removed_ || NeedsState() || NeedsRepair()) return false;
  if (IsVoter() || now_ < wanted_until_) return true;
  size_t known = configurations_.size();
  return known > 1 && configurations_.back().index > commit_index() &&
         configurations_[known - 2].configuration.IsVoter(id_);
}

void Core::StartElection(bool pre_vote, bool transfer) {
  KVD_CHECK(role_ != Role::kLeader);
  leader_ = ReplicaId();
  votes_.clear();
  ResetElectionTimer();
  role_ = pre_vote ? Role::kPreCandidate : Role::kCandidate;
  Term asked = term() + 1;
  if (!pre_vote) {
    hard_state_.term = asked;
    hard_state_.vote = id_;
  }
  // Votes that were given whatever the voters had promised to a leader count for a while only.
  votes_count_until_ = transfer ? now_ + options_.election_timeout_min : MonotonicTime::max();
  votes_[id_] = 1;
  for (const Member& m : configuration().Members()) {
    if (m.replica == id_ || !configuration().IsVoter(m.replica)) continue;
    Message request = Envelope(pre_vote ? MessageType::kPreVote : MessageType::kVote, m.replica);
    request.term = asked;
    request.index = log_.last_index();
    request.log_term = log_.last_term();
    request.transfer = transfer;
    // A vote request says that this replica votes for itself: that must not be forgotten.
    if (pre_vote) {
      Send(std::move(request));
    } else {
      SendAfterPersist(std::move(request));
    }
  }
  TallyVotes();
}

bool Core::InLeaderLease() const {
  if (role_ == Role::kLeader) {
    return now_ < QuorumSentAt() + options_.election_timeout_min;
  }
  // Whatever has become of its term since: the leader last heard may still count on this promise.
  return now_ < leader_contact_ + options_.election_timeout_min;
}

void Core::HandleVoteRequest(const Message& m) {
  bool pre_vote = m.type == MessageType::kPreVote;
  Message reply = Envelope(pre_vote ? MessageType::kPreVoteReply : MessageType::kVoteReply, m.from);
  bool up_to_date = m.log_term > log_.last_term() ||
                    (m.log_term == log_.last_term() && m.index >= log_.last_index());
  // After a restart the previous life may have promised a leader not to vote yet.
  bool free = m.transfer || (now_ >= no_votes_before_ && !InLeaderLease());
  // It can't give the entries that its vote would vouch for.
  if (NeedsRepair()) free = false;
  // Somebody takes this replica for a voter, and can't lead because of what only this one holds,
  // perhaps.
  if (!up_to_date && !IsVoter()) wanted_until_ = now_ + 4 * options_.election_timeout_min;
  bool grant;
  if (pre_vote) {
    // Equal terms: the candidate's view of a finished election; nothing can come of it.
    grant = up_to_date && free && m.term > term();
    if (grant) reply.term = m.term;
    reply.reject = !grant;
    Send(std::move(reply));
    return;
  }
  bool can_vote = hard_state_.vote == m.from || (!hard_state_.vote && !leader_);
  grant = up_to_date && free && can_vote;
  if (grant) {
    hard_state_.vote = m.from;
    ResetElectionTimer();
  }
  reply.reject = !grant;
  SendAfterPersist(std::move(reply));
}

void Core::HandleVoteReply(const Message& m) {
  bool pre_vote = m.type == MessageType::kPreVoteReply;
  if (role_ != (pre_vote ? Role::kPreCandidate : Role::kCandidate)) return;
  // A grant answers the question that was asked: of an earlier attempt it is void.
  if (!m.reject && m.term != (pre_vote ? term() + 1 : term())) return;
  if (now_ >= votes_count_until_) return;
  votes_.emplace(m.from, m.reject ? -1 : 1);
  TallyVotes();
}

void Core::TallyVotes() {
  auto of = [&](ReplicaId id) {
    auto it = votes_.find(id);
    return it == votes_.end() ? 0 : it->second;
  };
  switch (CountVotes(configuration(), of)) {
    case VoteResult::kPending: return;
    case VoteResult::kWon:
      if (role_ == Role::kPreCandidate) {
        StartElection(/*pre_vote=*/false, /*transfer=*/false);
      } else {
        BecomeLeader();
      }
      return;
    case VoteResult::kLost: BecomeFollower(term(), ReplicaId()); return;
  }
}

// One that comes late is of no use any more: its leader may trust its lease again.
void Core::HandleTimeoutNow(const Message& m) {
  if (!MayCampaign() || role_ == Role::kLeader) return;
  bool late = now_ >= m.follower_sent_at + options_.election_timeout_min;
  if (late || m.follower_life != life_) return;
  StartElection(/*pre_vote=*/false, /*transfer=*/true);
}

// A leader that can't reach a quorum serves nobody and keeps others from trying: it steps down.
void Core::CheckQuorum() {
  auto contact = QuorumValue(configuration(), [&](ReplicaId id) {
    if (id == id_) return now_;
    auto it = progress_.find(id);
    return it == progress_.end() ? kLongAgo : std::max(it->second.last_contact, led_since_);
  });
  if (now_ - contact >= options_.election_timeout_min) BecomeFollower(term(), ReplicaId());
}

absl::Status Core::TransferLeadership(MonotonicTime now, ReplicaId target) {
  SetNow(now);
  if (role_ != Role::kLeader) return absl::UnavailableError("not the leader");
  if (target == id_) return absl::OkStatus();
  auto it = progress_.find(target);
  if (it == progress_.end() || !configuration().IsVoter(target)) {
    return absl::InvalidArgumentError("replica " + target.ToString() + " is not a voter");
  }
  if (it->second.needs_state) {
    return absl::FailedPreconditionError("replica " + target.ToString() +
                                         " waits for a snapshot of the state");
  }
  if (transfer_target_) {
    return absl::FailedPreconditionError("a transfer to replica " + transfer_target_.ToString() +
                                         " is under way");
  }
  transfer_target_ = target;
  transfer_deadline_ = now_ + options_.election_timeout_min;
  MaybeFinishTransfer(target, it->second);
  if (transfer_target_) MaybeSendAppend(target, it->second, /*send_empty=*/true);
  return absl::OkStatus();
}

void Core::SendTimeoutNow(ReplicaId to, const Progress& progress) {
  Message m = Envelope(MessageType::kTimeoutNow, to);
  m.follower_sent_at = progress.peer_clock;
  m.follower_life = progress.peer_life;
  Send(std::move(m));
}

void Core::MaybeFinishTransfer(ReplicaId to, const Progress& progress) {
  if (transfer_target_ != to || progress.match() != log_.last_index()) return;
  // From here on the target may win at any moment, whatever the lease says. But it heeds this for a
  // timeout after it was last heard of, and then wins within another one or not at all; clocks run
  // at no more than twice each other's rate. What a voter acknowledged just before it voted counts
  // for a lease more.
  lease_forfeited_until_ = now_ + 4 * options_.election_timeout_min + options_.lease_duration;
  SendTimeoutNow(to, progress);
}

}  // namespace kvd::raft
