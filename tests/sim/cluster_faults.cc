// What is done to a simulated cluster while it works.
#include "tests/sim/cluster.h"

namespace kvd::sim {

void Cluster::ScheduleFault() {
  if (fault_rate_ == 0) return;
  auto mean = static_cast<uint64_t>(1200 / fault_rate_);
  scheduler_.After(milliseconds(scheduler_.random().Between(50, 2 * mean)), [this] {
    if (!faulting_) return;
    InjectFault();
    ScheduleFault();
  });
}

void Cluster::InjectFault() {
  auto pick = scheduler_.random().Below(100);
  if (pick < 40) return CrashOne();
  if (pick < 75) return CutSomething();
  if (pick < 83) {
    // A pause: the process stands still, then goes on as if nothing had been.
    for (auto& [id, store] : stores_) {
      if (!store->running() || !scheduler_.random().Chance(0.4)) continue;
      store->process().loop->PauseUntil(scheduler_.now() +
                                        milliseconds(scheduler_.random().Between(50, 2500)));
      ++report_.pauses;
      return;
    }
    return;
  }
  if (pick < 87) return FillDisk();
  if (pick < 91) {
    SimStore* leader = Leader();
    if (leader == nullptr) return;
    for (const raft::Member& m : leader->core().configuration().voters) {
      if (scheduler_.random().Chance(0.5)) continue;
      leader->process().loop->Post([host = leader->process().host.get(), to = m.replica] {
        (void)host->TransferLeadership(kGroup, to);
      });
      ++report_.transfers;
      return;
    }
    return;
  }
  if (pick < 93) return DamageOne();
  if (membership_faults_) ChangeMembers();
}

void Cluster::CrashOne() {
  Random& random = scheduler_.random();
  bool all = random.Chance(0.1);
  for (auto& [id, store] : stores_) {
    if (!store->running() || (!all && !random.Chance(0.35))) continue;
    if (!all && random.Chance(0.15) && AllHealthy()) {
      store->LoseState();
      ++report_.states_lost;
    } else {
      store->Crash();
    }
    ++report_.crashes;
    StartLater(id);
    if (!all) return;
  }
}

// Often so soon that nobody has noticed.
void Cluster::StartLater(StoreId id) {
  Random& random = scheduler_.random();
  auto down = random.Chance(0.3) ? random.Between(1, 20) : random.Between(10, 3000);
  scheduler_.After(milliseconds(down), [this, id] {
    SimStore& store = *stores_.at(id);
    if (!store.running() && store.formatted() && !broken_.contains(id)) store.Start();
  });
}

// In a quarter of the seeds a store's wall clock is set now and then; it must do no harm.
void Cluster::ScheduleClockJump() {
  scheduler_.After(milliseconds(clock_random_.Between(200, 4000)), [this] {
    if (!faulting_) return;
    auto at =
        std::next(stores_.begin(), static_cast<ptrdiff_t>(clock_random_.Below(stores_.size())));
    if (at->second->running()) {
      auto offset = static_cast<int64_t>(clock_random_.Below(1'200'000)) - 600'000;
      at->second->process().loop->set_wall_offset_ms(offset);
      ++report_.clock_jumps;
    }
    ScheduleClockJump();
  });
}

// In a quarter of the seeds the flushes of a store's state don't keep up now and then.
void Cluster::ScheduleStall() {
  scheduler_.After(milliseconds(stall_random_.Between(50, 2000)), [this] {
    if (!faulting_) return;
    auto at =
        std::next(stores_.begin(), static_cast<ptrdiff_t>(stall_random_.Below(stores_.size())));
    at->second->engine().SetStalled(true);
    scheduler_.After(milliseconds(stall_random_.Between(10, 2500)),
                     [id = at->first, this] { stores_.at(id)->engine().SetStalled(false); });
    ScheduleStall();
  });
}

bool Cluster::BreakMinority() {
  if (!AllHealthy()) return false;
  std::vector<raft::Member> voters;
  std::set<std::string> configurations;
  for (auto& [id, store] : stores_) {
    if (!store->running() || !store->core().configuration().Contains(store->core().id())) continue;
    voters = store->core().configuration().voters;
    configurations.insert(store->core().configuration().ToString());
  }
  // Of a change that some know of, those that stay may not be enough.
  if (configurations.size() != 1 || voters.size() < 3) return false;
  for (size_t n = (voters.size() - 1) / 2; n > 0; --n) {
    size_t at = minority_random_.Below(voters.size());
    SimStore& store = *stores_.at(voters[at].store);
    voters.erase(voters.begin() + static_cast<ptrdiff_t>(at));
    broken_.insert(store.id());
    if (minority_random_.Chance(0.5)) {
      if (store.running()) store.Crash();
    } else {
      Partition({store.id().value()});
    }
  }
  ++report_.minorities_broken;
  return true;
}

// One replica at a time may lack a part of what it acknowledged: then the others have it.
bool Cluster::AllHealthy() {
  if (!LossesMended()) return false;
  for (const auto& [id, store] : stores_) {
    if (store->running() ? store->core().NeedsState() : store->lost_state()) return false;
    if (store->formatted() && !store->log_on_disk().damaged.empty()) return false;
    if (!store->StateIsWhole()) return false;
  }
  return true;
}

// Bit rot, a write that went to another place than it should, or a tail that is gone.
void Cluster::DamageOne() {
  Random& random = scheduler_.random();
  if (!AllHealthy()) return;
  for (auto& [id, store] : stores_) {
    if (!store->running() || !random.Chance(0.4)) continue;
    const auto& entries = store->log_on_disk().entries;
    if (entries.empty()) return;
    auto at = entries.begin();
    std::advance(at, static_cast<ptrdiff_t>(random.Below(entries.size())));
    std::set<Index> places = {at->first};
    switch (random.Below(3)) {
      case 0: break;
      case 1:
        places.insert(
            std::next(entries.begin(), static_cast<ptrdiff_t>(random.Below(entries.size())))
                ->first);
        break;
      default:
        places.clear();
        for (uint64_t i = 0; i <= random.Below(5) && i < entries.size(); ++i) {
          places.insert(std::prev(entries.end(), static_cast<ptrdiff_t>(i + 1))->first);
        }
    }
    store->DamageLog(places);
    ++report_.logs_damaged;
    if (random.Chance(0.2)) return;
    store->Crash();
    ++report_.crashes;
    return StartLater(id);
  }
}

// In a third of the seeds, now and then.
void Cluster::ScheduleDamage() {
  scheduler_.After(milliseconds(damage_random_.Between(200, 5000)), [this] {
    if (!faulting_) return;
    if (AllHealthy()) DamageAState();
    ScheduleDamage();
  });
}

void Cluster::DamageAState() {
  auto at = stores_.begin();
  std::advance(at, static_cast<ptrdiff_t>(damage_random_.Below(stores_.size())));
  SimStore& store = *at->second;
  if (store.formatted() && store.DamageState(damage_random_)) ++report_.states_damaged;
}

// All hold all of it: one of three is enough to rebuild two, one after the other.
void Cluster::DamageTwoStates() {
  std::vector<raft::Member> voters = Leader()->core().configuration().voters;
  if (voters.size() < 3) return;
  // What decayed before and is dead by now is in nobody's hash, but in a snapshot.
  for (const raft::Member& m : voters) {
    SimStore& store = *stores_.at(m.store);
    if (!store.running() || !store.StateIsWhole()) return;
  }
  uint64_t first = damage_random_.Below(voters.size());
  for (uint64_t i : {first, first + 1}) {
    SimStore& store = *stores_.at(voters[i % voters.size()].store);
    if (store.DamageState(damage_random_)) ++report_.states_damaged;
  }
}

void Cluster::CutSomething() {
  Random& random = scheduler_.random();
  ++report_.cuts;
  std::vector<std::pair<Node, Node>> links;
  auto isolated = random.Below(stores_.size()) + 1;
  bool one_way = random.Chance(0.4);
  bool swizzle = random.Chance(0.3);
  bool pair = random.Chance(0.3);
  auto peer = random.Below(stores_.size()) + 1;
  for (auto& [other, unused] : stores_) {
    if (other.value() == isolated || (swizzle && random.Chance(0.4))) continue;
    if (pair && other.value() != peer) continue;
    bool outward = random.Chance(0.5);
    if (!one_way || outward) links.push_back({isolated, other.value()});
    if (!one_way || !outward) links.push_back({other.value(), isolated});
  }
  // Swizzled: stopped one by one, mended in another order.
  for (auto [from, to] : links) {
    Duration start = swizzle ? milliseconds(random.Below(500)) : Duration::zero();
    Duration length = milliseconds(random.Between(100, 3000));
    scheduler_.After(start, [this, from = from, to = to] {
      if (faulting_) network_.Cut(from, to);
    });
    scheduler_.After(start + length, [this, from = from, to = to] { network_.Mend(from, to); });
  }
}

// Another program fills some disks, so that data is refused or nothing taken in at all, and makes
// room again.
void Cluster::FillDisk() {
  Random& random = scheduler_.random();
  bool all = random.Chance(0.2);
  for (auto& [id, store] : stores_) {
    if (!all && !random.Chance(0.4)) continue;
    ++report_.disks_filled;
    store->disk().SetFreeBytes(random.Below(600'000));
    if (random.Chance(0.5)) {
      // What the reserve gave is gone as well.
      scheduler_.After(milliseconds(300), [this, s = store.get()] {
        if (faulting_) s->disk().SetFreeBytes(scheduler_.random().Below(150'000));
      });
    }
    scheduler_.After(milliseconds(random.Between(400, 4000)),
                     [s = store.get()] { s->disk().SetFreeBytes(SimDisk::kBytes); });
  }
}

}  // namespace kvd::sim
