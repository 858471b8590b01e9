// Lost disks of a simulated cluster. The store comes back at its address under new ids, by the way
// that leads real ones back: it asks whom it can reach until the leader's Admission has let it in.
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
  Loss loss{id, store.log_on_disk().record.replica, AddressOf(id.value()), loss_random_.Next() | 1,
            StoreId()};
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

// What server.cc does once a second.
void Cluster::AskToJoin(size_t at) {
  Loss& loss = losses_[at];
  if (loss.over) return;
  scheduler_.After(milliseconds(loss_random_.Between(200, 1000)), [this, at] { AskToJoin(at); });
  if (loss.successor) {
    SimStore& mine = *stores_.at(loss.successor);
    if (!mine.running()) return;
    raft::Member member{mine.core().id(), mine.id()};
    if (service::IsAdmitted(mine.group().meta(), mine.core().configuration(), member, loss.address,
                            loss.lost, store_options_.voters_wanted)) {
      return;
    }
  }
  // One after the other, as a real one does: some are gone for good.
  auto asked = std::next(stores_.begin(), static_cast<ptrdiff_t>(loss.asked++ % stores_.size()));
  SimStore& store = *asked->second;
  Node here = loss.successor ? loss.successor.value() : loss.lost.value();
  Node there = store.id().value();
  if (!store.running() || network_.IsCut(here, there) || network_.IsCut(there, here)) return;
  service::Applicant applicant{loss.address, kCluster, loss.nonce, loss.lost};
  store.process().loop->Post([this, at, applicant, admission = store.process().admission.get()] {
    admission->Join(applicant, [this, at](absl::StatusOr<raft::Member> member) {
      // The answer may be lost: asking again gives the same.
      if (member.ok() && !loss_random_.Chance(0.2)) BeAllotted(at, *member);
    });
  });
}

void Cluster::BeAllotted(size_t at, const raft::Member& member) {
  Loss& loss = losses_[at];
  if (loss.successor || loss.over) return;
  KVD_CHECK(member.replica != loss.replica && !stores_.contains(member.store));
  loss.successor = member.store;
  network_.successors[NodeAt(loss.address)] = member.store.value();
  MakeStore(member.store);
  stores_.at(member.store)->Format(member.replica, raft::Configuration());
  stores_.at(member.store)->Start();
}

}  // namespace kvd::sim
