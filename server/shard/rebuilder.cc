#include "server/shard/rebuilder.h"

#include "proto/fault_point.h"

namespace kvd::shard {
namespace {

constexpr Duration kStepInterval = milliseconds(20);
// While leadership is on its way nothing is written: where nobody takes it, writes get their turn.
constexpr Duration kHandOverInterval = std::chrono::seconds(3);
constexpr Duration kWordInterval = std::chrono::seconds(10);

bool OthersHaveState(const raft::Host& host, GroupId group) {
  const raft::Core& core = host.core(group);
  const raft::Configuration& configuration = core.configuration();
  bool alone = configuration.voters.size() == 1 && configuration.IsVoter(core.id());
  if (alone) return false;
  // Who leads has it.
  if (!core.IsLeader()) return true;
  for (const auto& [peer, progress] : core.progress()) {
    if (configuration.IsVoter(peer) && host.MayHaveState(group, peer)) return true;
  }
  return false;
}

}  // namespace

void Rebuilder::Report(const absl::Status& damage, Duration delay) {
  if (host_ == nullptr) return;
  ++reports_;
  host_->NoteStateDamaged();
  MonotonicTime at = loop_->Now() + delay;
  not_before_ = damage_.empty() ? at : std::min(not_before_, at);
  if (!damage_.empty()) return;
  damage_ = std::string(damage.message());
  next_word_ = loop_->Now() + kWordInterval;
  KVD_FAULT_POINT(kStateDamaged);
  if (on_damage) on_damage(damage_);
  timer_ = loop_->After(kStepInterval, [this] { Step(); });
}

void Rebuilder::Stop() {
  host_ = nullptr;
  timer_.reset();
}

bool Rebuilder::Possible() const {
  if (host_ == nullptr || loop_->Now() < forbidden_until_) return false;
  for (GroupId group : host_->groups()) {
    if (!OthersHaveState(*host_, group)) return false;
  }
  return true;
}

bool Rebuilder::FollowsEverywhere() {
  bool follows = true;
  bool asks = loop_->Now() >= next_hand_over_;
  for (GroupId group : host_->groups()) {
    const raft::Core& core = host_->core(group);
    if (core.removed()) continue;
    if (asks && core.IsLeader() && host_->HandOver(group)) {
      next_hand_over_ = loop_->Now() + kHandOverInterval;
    }
    follows = follows && core.leader() && core.leader() != core.id();
  }
  return follows;
}

// One replica at a time: what has rotted here may be whole where something else has. Everybody asks
// in the same order, and keeps no leave that is of no use yet: else two stores that share groups
// would wait for each other.
bool Rebuilder::MayGo() {
  bool may = Possible() && FollowsEverywhere();
  for (GroupId group : host_->groups()) {
    if (host_->core(group).removed()) continue;
    if (may) {
      may = host_->AskLeave(group);
    } else {
      host_->TakeBackAsking(group);
    }
  }
  return may;
}

void Rebuilder::Step() {
  timer_ = loop_->After(kStepInterval, [this] { Step(); });
  if (loop_->Now() < not_before_) return;
  if (MayGo()) {
    KVD_FAULT_POINT(kGoingOut);
    return go_out(damage_);
  }
  if (loop_->Now() < next_word_) return;
  next_word_ = loop_->Now() + kWordInterval;
  if (on_waiting) on_waiting(damage_);
}

}  // namespace kvd::shard
