// Linearizable reads without a log entry: ReadIndex and leases (thesis, 6.4).
#include "raft/core/core.h"

namespace kvd::raft {

bool Core::KnowsCommitted() const {
  return role_ == Role::kLeader && commit_index() >= term_start_;
}

MonotonicTime Core::QuorumSentAt() const {
  return QuorumValue(configuration(), [&](ReplicaId id) {
    if (id == id_) return now_;
    auto it = progress_.find(id);
    return it == progress_.end() ? kLongAgo : it->second.acked_sent_at;
  });
}

bool Core::HoldsLease(MonotonicTime now) const {
  if (!KnowsCommitted() || now < lease_forfeited_until_) return false;
  auto sent_at = QuorumValue(configuration(), [&](ReplicaId id) {
    if (id == id_) return now;
    auto it = progress_.find(id);
    return it == progress_.end() ? kLongAgo : it->second.acked_sent_at;
  });
  return now < sent_at + options_.lease_duration;
}

absl::Status Core::ReadIndex(MonotonicTime now, uint64_t id) {
  SetNow(now);
  if (role_ != Role::kLeader) return absl::UnavailableError("not the leader");
  // All reads that arrive before the next output share one round.
  NoteUse(now);
  reads_.push_back({id, round_ + 1, commit_index()});
  round_wanted_ = true;
  return absl::OkStatus();
}

void Core::StartReadRound() {
  round_wanted_ = false;
  ++round_;
  BroadcastHeartbeat();
  ConfirmReads();
}

void Core::ConfirmReads() {
  // Before the term's first commit the commit index may lag behind what earlier leaders committed.
  if (reads_.empty() || !KnowsCommitted()) return;
  uint64_t confirmed = QuorumValue(configuration(), [&](ReplicaId id) {
    if (id == id_) return round_;
    auto it = progress_.find(id);
    return it == progress_.end() ? uint64_t{0} : it->second.acked_round;
  });
  size_t done = 0;
  while (done < reads_.size() && reads_[done].round <= confirmed) {
    // A read taken before the term's first commit waits for at least that entry.
    output_.reads.push_back({reads_[done].id, std::max(reads_[done].index, term_start_)});
    ++done;
  }
  reads_.erase(reads_.begin(), reads_.begin() + static_cast<ptrdiff_t>(done));
}

void Core::FailReads() {
  for (const PendingRead& read : reads_) output_.failed_reads.push_back(read.id);
  reads_.clear();
  round_wanted_ = false;
}

}  // namespace kvd::raft
