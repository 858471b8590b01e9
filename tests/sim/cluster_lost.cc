// Lost disks of a simulated cluster. The store comes back at its address under new ids, and takes
// the place of the replica that was lost, by a change of replicas as the controller has it done.
#include "proto/check.h"
#include "tests/sim/cluster.h"

namespace kvd::sim {

bool Cluster::LossesMended() {
  if (losses_.empty()) return true;
  SimStore* leader = Leader();
  if (leader == nullptr) return false;
  const raft::Core& core = leader->core();
  if (core.configuration().IsJoint() || core.configuration_index() > core.commit_index())
    return false;
  for (const Loss& loss : losses_) {
    if (core.configuration().Contains(loss.replica)) return false;
  }
  return true;
}

// One at a time, and only while everybody else has all that it acknowledged: the others are a
// majority.
void Cluster::ScheduleLoss() {
  scheduler_.After(milliseconds(loss_random_.Between(300, 3000)), [this] {
    if (!faulting_) return;
    ScheduleLoss();
    if (!AllHealthy()) return;
    std::vector<StoreId> candidates;
    for (auto& [id, store] : stores_) {
      if (store->formatted()) candidates.push_back(id);
    }
    LoseDisk(candidates[loss_random_.Below(candidates.size())]);
  });
}

void Cluster::LoseDisk(StoreId id) {
  SimStore& store = *stores_.at(id);
  KVD_CHECK(store.formatted());
  Loss loss{id, store.log_on_disk().record.replica, AddressOf(id.value()), StoreId()};
  for (Loss& earlier : losses_) {
    if (earlier.successor != id) continue;
    earlier.over = true;
    loss.address = earlier.address;
  }
  store.Lose();
  ++report_.disks_lost;
  losses_.push_back(loss);
  auto down = milliseconds(loss_random_.Chance(0.3) ? loss_random_.Between(1, 20)
                                                    : loss_random_.Between(10, 3000));
  scheduler_.After(down, [this, at = losses_.size() - 1] { AskToJoin(at); });
}

// What the controller does until it is done.
void Cluster::AskToJoin(size_t at) {
  Loss& loss = losses_[at];
  if (loss.over) return;
  scheduler_.After(milliseconds(loss_random_.Between(200, 1000)), [this, at] { AskToJoin(at); });
  if (!loss.successor) {
    return Allot([this, at](const raft::Member& member) {
      Loss& loss = losses_[at];
      // Asked for twice: one of them is nobody's.
      if (loss.successor || loss.over) return;
      loss.successor = member.store;
      network_.successors[NodeAt(loss.address)] = member.store.value();
    });
  }
  SimStore& mine = *stores_.at(loss.successor);
  SimStore* leader = Leader();
  if (!mine.running() || leader == nullptr) return;
  raft::Member member{mine.core().id(), mine.id()};
  const raft::Configuration& now = leader->core().configuration();
  if (now.IsVoter(member.replica) && !now.Contains(loss.replica)) {
    // Should it be removed one day, nobody asks for it again.
    loss.joined =
        loss.joined || leader->core().configuration_index() <= leader->core().commit_index();
    return;
  }
  if (loss.joined) return;
  Change(*leader, {member}, {loss.replica});
}

}  // namespace kvd::sim
