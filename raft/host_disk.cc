// Room on the stores' disks: each tells its own in every message.
#include "raft/core/quorum.h"
#include "raft/host_group.h"

namespace kvd::raft {

namespace {
constexpr Duration kHeardWithin = std::chrono::seconds(1);
}  // namespace

void Host::SetDisk(DiskState state) {
  disk_ = state;
  if (state == DiskState::kOk) return;
  // What has come of a snapshot holds room until the rest comes: it is sent anew when there is
  // enough.
  for (auto& [id, group] : groups_) group->receiving = {};
}

DiskState Host::DiskOf(StoreId store) const {
  if (store == options_.store) return disk_;
  auto it = disks_.find(store);
  return it == disks_.end() ? DiskState::kOk : it->second;
}

void Host::NoteTakenIn(uint64_t bytes) {
  turn_bytes_ += bytes;
  if (on_taken_in) on_taken_in(bytes);
}

uint64_t Host::UnappliedBytes() const {
  uint64_t bytes = turn_bytes_;
  for (const auto& [id, group] : groups_) {
    const Core& core = *group->core;
    if (core.applied_index() >= core.log().last_index()) continue;
    // To a megabyte: from the last mark in what is applied.
    uint64_t applied = 0;
    for (auto mark = group->size_marks.rbegin(); mark != group->size_marks.rend(); ++mark) {
      if (mark->index > core.applied_index()) continue;
      applied = mark->bytes;
      break;
    }
    bytes += group->log_bytes - std::min(group->log_bytes, applied);
  }
  return bytes;
}

bool Host::HasRoom(GroupId id) const {
  const Group* group = Find(id);
  if (group == nullptr) return false;
  const Configuration& configuration = group->core->configuration();
  if (configuration.voters.empty()) return true;
  if (std::all_of(configuration.voters.begin(), configuration.voters.end(),
                  [&](const Member& m) { return DiskOf(m.store) == DiskState::kOk; })) {
    return true;
  }
  // One that is away is no help to those that are short.
  const auto& peers = group->core->progress();
  return QuorumValue(configuration, [&](ReplicaId replica) {
    auto peer = peers.find(replica);
    bool away = peer != peers.end() && loop_->Now() - peer->second.last_contact > kHeardWithin;
    return !away && DiskOf(configuration.StoreOf(replica)) == DiskState::kOk;
  });
}

ReplicaId Host::CaughtUpVoterWithRoom(GroupId id) const {
  const Group* group = Find(id);
  if (group == nullptr) return ReplicaId();
  const Core& core = *group->core;
  for (const auto& [peer, progress] : core.progress()) {
    if (!core.configuration().IsVoter(peer) || progress.match() < core.commit_index()) continue;
    if (DiskOf(core.configuration().StoreOf(peer)) == DiskState::kOk) return peer;
  }
  return ReplicaId();
}

bool Host::HoldsBack(const Message& message, DiskState receiver) const {
  return receiver == DiskState::kCritical && message.type == MessageType::kAppend &&
         !message.entries.empty();
}

}  // namespace kvd::raft
