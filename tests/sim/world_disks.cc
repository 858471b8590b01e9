// Disks of a simulated cluster that looks after itself: slow, full, and damaged. And how what they
// hold is verified.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "proto/check.h"
#include "tests/sim/world.h"

namespace kvd::sim {

// A store's disk is slow, full or does not keep up with flushes, for a while.
void World::ScheduleDisk() {
  scheduler_.After(milliseconds(disk_random_.Between(100, 3000)), [this] {
    if (!faulting_) return;
    ScheduleDisk();
    NodeStore& store = AnyStore(disk_random_);
    if (store.lost()) return;
    auto pick = disk_random_.Below(100);
    auto lasts = milliseconds(disk_random_.Between(200, 4000));
    if (pick < 40) {
      ++report_.disks_slow;
      store.SlowDisk(milliseconds(disk_random_.Between(20, 400)));
      scheduler_.After(lasts, [&store] { store.SlowDisk(Duration::zero()); });
    } else if (pick < 80) {
      FillDisk(store);
      if (!disk_random_.Chance(0.2)) return;
      for (auto& [id, other] : stores_) FillDisk(*other);
    } else {
      ++report_.engines_stalled;
      store.engine().SetStalled(true);
      scheduler_.After(lasts, [&store] { store.engine().SetStalled(false); });
    }
  });
}

// Another program fills the disk, so that data is refused or nothing is taken in at all, and makes
// room again.
void World::FillDisk(NodeStore& store) {
  ++report_.disks_filled;
  store.disk().SetFreeBytes(disk_random_.Below(600'000));
  if (disk_random_.Chance(0.5)) {
    // What the reserve gave is gone as well.
    scheduler_.After(milliseconds(300), [this, &store] {
      if (faulting_) store.disk().SetFreeBytes(disk_random_.Below(150'000));
    });
  }
  scheduler_.After(milliseconds(disk_random_.Between(400, 4000)),
                   [&store] { store.disk().SetFreeBytes(SimDisk::kBytes); });
}

bool World::CanSpare(const NodeStore& store) {
  const shardctrler::State* known = state();
  // With fewer, a group may be made that has one replica.
  if (store.lost() || known == nullptr || StoresServing() < 3) return false;
  for (const auto& [id, other] : stores_) {
    if (!other->lost() && !other->IsWhole()) return false;
  }
  for (const auto& [id, log] : store.log_disk().groups) {
    if (log.record.removed) continue;
    NodeStore* leader = Leader(id);
    if (leader == nullptr) return false;
    const raft::Core& core = leader->process().host->core(id);
    const raft::Configuration& configuration = core.configuration();
    if (configuration.IsJoint() || core.configuration_index() > core.commit_index()) return false;
    if (configuration.voters.size() < 3) return false;
    for (const raft::Member& m : configuration.Members()) {
      auto member = stores_.find(m.store);
      if (member == stores_.end() || member->second->lost()) return false;
      if (!member->second->log_disk().groups.contains(id)) return false;
    }
  }
  return true;
}

// One store at a time may lack a part of what it acknowledged: then the others have it. And now and
// then an operator has a group verified.
void World::ScheduleDamage() {
  scheduler_.After(milliseconds(damage_random_.Between(200, 2000)), [this] {
    if (!faulting_) return;
    ScheduleDamage();
    auto pick = damage_random_.Below(100);
    const shardctrler::State* known = state();
    if (pick < 25 && known != nullptr) {
      auto group = std::next(known->groups().begin(),
                             static_cast<ptrdiff_t>(damage_random_.Below(known->groups().size())));
      return Verify(group->first, damage_random_.Next() | 1);
    }
    NodeStore& store = AnyStore(damage_random_);
    if (!CanSpare(store)) return;
    if (pick < 65) {
      if (store.DamageState(damage_random_)) ++report_.states_damaged;
    } else if (pick < 85) {
      DamageLog(store);
    } else {
      if (store.running()) ++report_.crashes;
      store.LoseState();
      ++report_.states_lost;
      StartLater(store.id());
    }
  });
}

// Bit rot, a write that went to another place than it should, or a tail that is gone.
void World::DamageLog(NodeStore& store) {
  std::vector<GroupId> groups;
  for (const auto& [id, log] : store.log_disk().groups) {
    if (!log.record.removed && !log.entries.empty()) groups.push_back(id);
  }
  if (groups.empty()) return;
  GroupId group = groups[damage_random_.Below(groups.size())];
  const auto& entries = store.log_disk().groups.at(group).entries;
  auto any = [&] {
    return std::next(entries.begin(), static_cast<ptrdiff_t>(damage_random_.Below(entries.size())))
        ->first;
  };
  std::set<Index> places;
  switch (damage_random_.Below(3)) {
    case 0: places = {any()}; break;
    case 1: places = {any(), any()}; break;
    default: {
      auto last = std::prev(entries.end());
      for (auto n = damage_random_.Between(1, 5); n > 0; --n, --last) {
        places.insert(last->first);
        if (last == entries.begin()) break;
      }
    }
  }
  store.DamageLog(group, places);
  ++report_.logs_damaged;
  // Else it is met when it is read, perhaps never.
  if (damage_random_.Chance(0.2) || !store.running()) return;
  store.Crash();
  ++report_.crashes;
  StartLater(store.id());
}

// At rest, when all have all of it: one of three is enough to rebuild two, one after the other.
void World::DamageTwoStates() {
  std::vector<NodeStore*> whole;
  for (auto& [id, store] : stores_) {
    if (CanSpare(*store)) whole.push_back(store.get());
  }
  if (whole.size() < 3) return;
  uint64_t first = damage_random_.Below(whole.size());
  for (uint64_t i : {first, first + 1}) {
    if (whole[i % whole.size()]->DamageState(damage_random_)) ++report_.states_damaged;
  }
}

void World::Verify(GroupId group, uint64_t verification) {
  NodeStore* leader = Leader(group);
  if (leader == nullptr) return;
  leader->process().loop->Post([this, leader, group, verification] {
    node::LocalGroup* local = leader->node().groups().Find(group);
    if (local == nullptr) return;
    shard::Command command;
    command.kind = shard::CommandKind::kVerify;
    command.verification = verification;
    local->group->Submit(command, [this](const auto& result) {
      if (result.ok()) ++report_.verifications;
    });
  });
}

// Of no group so many voters give their state up at once that no majority has one.
void World::CheckOthersKeepTheirs(NodeStore& leaving) {
  for (GroupId group : leaving.process().host->groups()) {
    const auto& voters = leaving.process().host->core(group).configuration().voters;
    auto out = std::count_if(voters.begin(), voters.end(), [&](const raft::Member& m) {
      return stores_.contains(m.store) && stores_.at(m.store)->Rebuilds(group);
    });
    auto may = std::max<ptrdiff_t>(1, (static_cast<ptrdiff_t>(voters.size()) - 1) / 2);
    KVD_CHECK_MSG(out <= may, absl::StrCat(out, " voters of group ", group.value(),
                                           " rebuild their states at once; ", Describe()));
  }
}

void World::VerifyReplicas() {
  constexpr int kAttemptsMax = 10;
  auto mended = [this] {
    return Settled() && std::none_of(stores_.begin(), stores_.end(),
                                     [](const auto& store) { return store.second->Mends(); });
  };
  for (int i = 0; !VerifyOnce(); ++i) {
    KVD_CHECK_MSG(i < kAttemptsMax && Await(mended, std::chrono::seconds(60)),
                  absl::StrCat("a damaged state is not rebuilt; ", Describe()));
  }
}

// False if damage was found, or something changed meanwhile.
bool World::VerifyOnce() {
  std::vector<GroupId> groups;
  for (const auto& [id, group] : state()->groups()) groups.push_back(id);
  bool whole = true;
  for (GroupId group : groups) whole = VerifyGroup(group) && whole;
  return whole;
}

bool World::VerifyGroup(GroupId group) {
  NodeStore* leader = Leader(group);
  if (leader == nullptr) return false;
  uint64_t verification = damage_random_.Next() | 1;
  std::vector<raft::Member> members = leader->process().host->core(group).configuration().Members();
  std::map<StoreId, uint64_t> starts;
  for (const raft::Member& m : members) starts[m.store] = stores_.at(m.store)->starts();
  Verify(group, verification);
  auto found = [&](const raft::Member& m) {
    return stores_.at(m.store)->process().verifier->Find(verification);
  };
  // It may go out before it has an answer.
  auto decayed = [&](const raft::Member& m) {
    const NodeStore& store = *stores_.at(m.store);
    return !store.running() || store.starts() != starts[m.store];
  };
  bool all = Await([&] {
    return std::all_of(members.begin(), members.end(), [&](const raft::Member& m) {
      return decayed(m) || (found(m) != nullptr && found(m)->done);
    });
  });
  if (!all || std::any_of(members.begin(), members.end(), decayed)) return false;
  const shard::Verification& first = *found(members[0]);
  for (const raft::Member& m : members) {
    const shard::Verification& v = *found(m);
    if (v.damaged() != 0) return false;
    KVD_CHECK_MSG(v.hashed && v.index == first.index && v.state.hash == first.state.hash &&
                      v.state.keys == first.state.keys && v.state.versions == first.state.versions,
                  absl::StrCat("stores ", members[0].store.value(), " and ", m.store.value(),
                               " differ in group ", group.value(), " at index ", v.index.value(),
                               "; ", Describe()));
  }
  return true;
}

}  // namespace kvd::sim
