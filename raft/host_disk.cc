// Room on the stores' disks: each tells its own in every message.
#include "raft/core/quorum.h"
#include "raft/host_group.h"

namespace kvd::raft {

DiskState Host::DiskOf(StoreId store) const {
  if (store == options_.store) return disk_;
  auto it = disks_.find(store);
  return it == disks_.end() ? DiskState::kOk : it->second;
}

bool Host::HasRoom(GroupId id) const {
  const Group* group = Find(id);
  if (group == nullptr) return false;
  const Configuration& configuration = group->core->configuration();
  if (configuration.voters.empty()) return true;
  return QuorumValue(configuration, [&](ReplicaId replica) {
    return DiskOf(configuration.StoreOf(replica)) == DiskState::kOk;
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
