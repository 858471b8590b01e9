// What the core wants done.
#include <algorithm>

#include "raft/core/core.h"

namespace kvd::raft {

bool Core::IsCalm(MonotonicTime now) const {
  if (NeedsState() || NeedsRepair()) return false;
  if (role_ == Role::kFollower) {
    // An election needs finer ticks, and so does what a silent leader's followers do before.
    return now + 2 * options_.heartbeat_interval < leader_contact_ + options_.election_timeout_min;
  }
  if (role_ != Role::kLeader || transfer_target_) return false;
  return std::all_of(progress_.begin(), progress_.end(), [this](const auto& item) {
    return item.second.sent_commit >= commit_index() && item.second.match() == log_.last_index();
  });
}

bool Core::HasOutput() const {
  return !output_.messages.empty() || !output_.messages_after_persist.empty() ||
         !output_.entries.empty() || !output_.repaired.empty() || !output_.reads.empty() ||
         !output_.failed_reads.empty() || !output_.snapshots.empty() || round_wanted_ || removed_ ||
         hard_state_.term != persisted_hard_state_.term ||
         hard_state_.vote != persisted_hard_state_.vote ||
         emitted_ < std::min(commit_index(), log_.stable());
}

Output Core::TakeOutput(bool apply) {
  std::vector<EntryPtr> held;
  if (HoldsBack()) {
    held.swap(output_.entries);
  } else {
    rounds_.Release(log_.last_index(), now_);
  }
  if (role_ == Role::kLeader) {
    if (round_wanted_) StartReadRound();
    // Here, so that all proposals since the last output share messages.
    BroadcastAppend();
  }
  bool changed = hard_state_.term != persisted_hard_state_.term ||
                 hard_state_.vote != persisted_hard_state_.vote;
  if (changed || (!output_.entries.empty() && hard_state_ != persisted_hard_state_)) {
    output_.hard_state = hard_state_;
    persisted_hard_state_ = hard_state_;
  }
  // Applied only once on the own disk too, so that the state never gets ahead of the log.
  Index until = std::min(commit_index(), log_.stable());
  if (apply && emitted_ < until && !NeedsState() && !NeedsRepair()) {
    output_.committed = log_.Slice(emitted_ + 1, until + 1, options_.apply_bytes_max);
    if (!output_.committed.empty()) emitted_ = output_.committed.back()->index;
  }
  Output out = std::move(output_);
  output_ = Output();
  output_.entries = std::move(held);
  return out;
}

}  // namespace kvd::raft
