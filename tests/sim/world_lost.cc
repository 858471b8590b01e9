// Lost disks of a simulated cluster that looks after itself. The replicas that were there are dead:
// the controller has others take their place, once it knows.
#include "absl/strings/str_cat.h"
#include "proto/check.h"
#include "tests/sim/world.h"

namespace kvd::sim {

using shardctrler::Command;
using shardctrler::CommandKind;
using shardctrler::StoreState;

// Whether each group, by whatever membership any of its replicas goes, keeps a majority.
bool World::Survives(StoreId without) {
  auto keeps = [&](const std::vector<raft::Member>& voters) {
    auto left = std::count_if(voters.begin(), voters.end(), [&](const raft::Member& m) {
      auto store = stores_.find(m.store);
      return m.store != without && store != stores_.end() && !store->second->lost();
    });
    return voters.empty() || static_cast<size_t>(left) > voters.size() / 2;
  };
  for (auto& [id, store] : stores_) {
    if (!store->running()) continue;
    for (GroupId group : store->process().host->groups()) {
      const raft::Configuration& c = store->process().host->core(group).configuration();
      if (!keeps(c.voters) || !keeps(c.outgoing)) return false;
    }
  }
  return true;
}

// One at a time, and only while everybody else has all that it acknowledged: the others are a
// majority of every group.
void World::ScheduleLoss() {
  scheduler_.After(milliseconds(loss_random_.Between(300, 3000)), [this] {
    if (!faulting_) return;
    ScheduleLoss();
    NodeStore& store = AnyStore(loss_random_);
    if (!CanSpare(store) || !Survives(store.id())) return;
    auto pick = loss_random_.Below(100);
    LoseDisk(store.id(), pick < 35   ? Loss::kBack
                         : pick < 60 ? Loss::kBackKnowing
                         : pick < 85 ? Loss::kGivenUp
                                     : Loss::kForgotten);
  });
}

void World::LoseDisk(StoreId id, Loss loss) {
  NodeStore& store = *stores_.at(id);
  store.Lose();
  ++report_.disks_lost;
  bool back = loss == Loss::kBack || loss == Loss::kBackKnowing;
  auto later = milliseconds(loss_random_.Chance(0.3) ? loss_random_.Between(1, 20)
                                                     : loss_random_.Between(10, 3000));
  scheduler_.After(later, [this, id, loss, back, at = NodeAt(store.address())] {
    if (back) return Join(at, id, loss == Loss::kBackKnowing);
    ++report_.stores_elsewhere;
    AddStore();
  });
  if (loss == Loss::kGivenUp) {
    scheduler_.After(milliseconds(loss_random_.Between(500, 3000)), [this, id] { GiveUp(id); });
  }
  if (loss != Loss::kForgotten) return;
  Command soon;
  soon.kind = CommandKind::kSet;
  soon.name = "store-down-s";
  soon.value = 10;
  Insist(soon);
  forgotten_.push_back(id);
}

// An operator asks once a second until it is done.
void World::Insist(const Command& command, std::function<void()> done) {
  auto over = std::make_shared<bool>(false);
  auto ask = std::make_shared<std::function<void()>>();
  *ask = [this, command, over, done, weak = std::weak_ptr(ask)] {
    if (*over) return;
    Control(command, [over, done](const auto& result) {
      if (*over || !result.ok()) return;
      *over = true;
      if (done) done();
    });
    scheduler_.After(std::chrono::seconds(1), [again = weak.lock()] { (*again)(); });
  };
  (*ask)();
}

void World::GiveUp(StoreId id) {
  Command command;
  command.kind = CommandKind::kSetStoreState;
  command.store = id;
  command.state = StoreState::kGone;
  command.lost = true;
  Insist(command, [this] { ++report_.stores_given_up; });
}

// Those that nobody gave up: their replicas are replaced as they are silent, where there are enough
// stores for that; then, or else, an operator gives them up.
void World::GiveUpTheForgotten() {
  for (StoreId id : forgotten_) {
    auto holds = [&] { return state() == nullptr || state()->HoldsReplica(id); };
    if (holds() && Await([&] { return !holds(); }, std::chrono::seconds(30)))
      ++report_.stores_replaced;
    GiveUp(id);
  }
}

}  // namespace kvd::sim
