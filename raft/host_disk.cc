// Room on the stores' disks: each tells its own in every message.
#include "raft/core/quorum.h"
#include "raft/host_group.h"

namespace kvd::raft {

namespace {
constexpr Duration kHeardWithin = std::chrono::seconds(1);
// What a leader found in its log that a store without room still takes in.
constexpr size_t kSparedBytesMax = 64 << 10;

// How many of an append's entries a store without room takes in all the same: a leader's first one,
// changes of members, and a little of what the leader found in its log. Without them what all hold
// already could not be committed, and what is not applied goes on counting as room that is taken.
size_t Spared(const Message& append) {
  size_t count = 0;
  size_t bytes = 0;
  for (const EntryPtr& entry : append.entries) {
    if (entry->type == EntryType::kCommand && entry->term == append.term) break;
    bytes += entry->Bytes();
    if (bytes > kSparedBytesMax) return 0;
    ++count;
  }
  return count;
}
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
    bytes += group->log_size.BytesBehind(core.applied_index());
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

bool Host::HoldsBack(Message& message, DiskState receiver, const Core* sender) const {
  if (receiver != DiskState::kCritical || message.type != MessageType::kAppend) return false;
  if (message.entries.empty()) return false;
  message.entries.resize(Spared(message));
  if (!message.entries.empty()) return false;
  if (sender == nullptr) return true;
  auto peer = sender->progress().find(message.to);
  return peer == sender->progress().end() || peer->second.state() != Progress::State::kProbe ||
         message.index <= peer->second.match();
}

}  // namespace kvd::raft
