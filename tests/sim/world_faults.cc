// What is done to the processes, the network and the clocks of a simulated cluster that looks after
// itself.
#include "absl/strings/str_cat.h"
#include "proto/check.h"
#include "tests/sim/world.h"

namespace kvd::sim {

void World::ScheduleFault() {
  auto mean = static_cast<uint64_t>(1500 / fault_rate_);
  scheduler_.After(milliseconds(scheduler_.random().Between(50, 2 * mean)), [this] {
    if (!faulting_) return;
    Random& random = scheduler_.random();
    auto pick = random.Below(100);
    NodeStore& store = AnyStore(random);
    if (pick < 50) {
      bool all = random.Chance(0.1);
      for (auto& [id, s] : stores_) {
        if (!s->running() || (!all && s.get() != &store)) continue;
        s->Crash();
        ++report_.crashes;
        StartLater(id);
      }
    } else if (pick < 85) {
      CutSomething();
    } else if (store.running()) {
      store.process().loop->PauseUntil(scheduler_.now() + milliseconds(random.Between(50, 2500)));
      ++report_.pauses;
    }
    ScheduleFault();
  });
}

void World::StartLater(StoreId id) {
  Random& random = scheduler_.random();
  auto down = random.Chance(0.3) ? random.Between(1, 20) : random.Between(10, 3000);
  scheduler_.After(milliseconds(down), [this, id] {
    NodeStore& store = *stores_.at(id);
    if (!store.running() && !store.lost()) store.Start();
  });
}

// One store from all others or from one, both ways or one way, for a while.
void World::CutSomething() {
  Random& random = scheduler_.random();
  auto one = std::next(stores_.begin(), static_cast<ptrdiff_t>(random.Below(stores_.size())));
  bool all = random.Chance(0.5);
  auto other = std::next(stores_.begin(), static_cast<ptrdiff_t>(random.Below(stores_.size())));
  bool both = random.Chance(0.7);
  for (auto& [id, store] : stores_) {
    if (id == one->first || (!all && id != other->first)) continue;
    network_.Cut(one->first.value(), id.value());
    if (both) network_.Cut(id.value(), one->first.value());
  }
  ++report_.cuts;
  scheduler_.After(milliseconds(random.Between(100, 4000)), [this] { network_.MendAll(); });
}

// A store's wall clock is set, or its clock changes its pace, within the bound that leases rely on.
void World::ScheduleClock() {
  scheduler_.After(milliseconds(clock_random_.Between(200, 4000)), [this] {
    if (!faulting_) return;
    ScheduleClock();
    NodeStore& store = AnyStore(clock_random_);
    if (!store.running()) return;
    SimLoop& loop = *store.process().loop;
    if (clock_random_.Chance(0.6)) {
      loop.set_wall_offset_ms(static_cast<int64_t>(clock_random_.Below(1'200'000)) - 600'000);
      ++report_.clock_jumps;
    } else {
      loop.set_rate(1.0 + (static_cast<double>(clock_random_.Below(80)) - 40) / 1000);
      ++report_.clock_rates;
    }
  });
}

// Whoever holds a lease on a group is alone with it.
void World::CheckLeases(NodeStore& store) {
  if (clocks_beyond_bound_) return;
  for (GroupId group : store.process().host->groups()) {
    if (!store.process().host->core(group).HoldsLease(store.process().loop->Now())) continue;
    for (auto& [id, other] : stores_) {
      if (id == store.id() || !other->running()) continue;
      const raft::Host& host = *other->process().host;
      KVD_CHECK_MSG(
          !host.Has(group) || !host.core(group).HoldsLease(other->process().loop->Now()),
          absl::StrCat("stores ", store.id().value(), " and ", id.value(),
                       " hold a lease on group ", group.value(), " at once; ", Describe()));
    }
  }
}

void World::Heal() {
  network_.MendAll();
  network_.faults = NetworkFaults();
  for (auto& [id, store] : stores_) {
    store->engine().SetStalled(false);
    store->disk().SetFreeBytes(SimDisk::kBytes);
    store->SlowDisk(Duration::zero());
    if (!store->running() && !store->lost()) store->Start();
  }
}

}  // namespace kvd::sim
