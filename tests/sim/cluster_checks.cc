// The second phase: faults have stopped; a simulated cluster converges, and what it did and holds
// is right.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "proto/check.h"
#include "tests/sim/cluster.h"

namespace kvd::sim {

void Cluster::Heal() {
  faulting_ = false;
  fault_points_.set_active(false);
  network_.MendAll();
  network_.faults = NetworkFaults();
  for (auto& [id, store] : stores_) {
    store->engine().SetStalled(false);
    if (!store->formatted()) continue;
    if (!store->running()) store->Start();
    store->process().loop->PauseUntil(scheduler_.now());
    store->disk().SetFreeBytes(SimDisk::kBytes);
  }
}

std::string Cluster::Describe() {
  std::string out;
  for (auto& [id, store] : stores_) {
    absl::StrAppend(&out, "\n  store ", id.value(), ": ");
    if (!store->running()) {
      out += "down";
      continue;
    }
    const raft::Core& c = store->core();
    absl::StrAppend(&out, "replica ", c.id().value(), " ", raft::ToString(c.role()), " term ",
                    c.term().value(), " log ", c.log().start().value(), "..",
                    c.log().last_index().value(), " stable ", c.log().stable().value(), " commit ",
                    c.commit_index().value(), " applied ", c.applied_index().value(), " ",
                    c.configuration().ToString(), c.removed() ? " removed" : "",
                    c.NeedsState() ? " needs state" : "", store->StateIsWhole() ? "" : " damaged",
                    store->process().rebuilder->damage().empty() ? "" : " reported: ",
                    store->process().rebuilder->damage());
    for (const auto& [peer, progress] : c.progress()) {
      absl::StrAppend(&out, "\n    -> ", peer.value(), " ", ToString(progress.state()), " match ",
                      progress.match().value(), " next ", progress.next().value());
    }
  }
  return out;
}

// Never so many voters give their states up at once that no majority has one.
void Cluster::CheckOthersKeepTheirs(const SimStore& leaving) {
  const auto& voters = leaving.core().configuration().voters;
  auto out = std::count_if(voters.begin(), voters.end(), [this](const raft::Member& m) {
    return stores_.contains(m.store) && stores_.at(m.store)->rebuilding();
  });
  auto may = std::max<ptrdiff_t>(1, (static_cast<ptrdiff_t>(voters.size()) - 1) / 2);
  KVD_CHECK_MSG(out <= may, absl::StrCat(out, " voters rebuild their states at once", Describe()));
}

void Cluster::MustServe() {
  bool served = false;
  bool answered = false;
  WorkloadOptions workload;
  workload.stores = static_cast<int>(stores_.size());
  SimClient probe(&scheduler_, &network_, 9999, workload);
  probe.Probe([&](bool ok) {
    served = ok;
    answered = true;
  });
  KVD_CHECK_MSG(Await([&] { return answered; }) && served,
                absl::StrCat("the healed cluster does not serve", Describe()));
}

// All members of the configuration in force reach the same position and state.
void Cluster::Converge() {
  MustServe();
  KVD_CHECK_MSG(Await([this] { return LossesMended(); }, std::chrono::seconds(30)),
                absl::StrCat("a lost replica's place is not taken", Describe()));
  auto converged = [&] {
    SimStore* leader = Leader();
    if (leader == nullptr || leader->core().configuration().IsJoint()) return false;
    for (const raft::Member& m : leader->core().configuration().Members()) {
      // A store may be a member before it has heard which ids it was allotted.
      if (!stores_.contains(m.store) || !stores_.at(m.store)->running()) return false;
      SimStore& store = *stores_.at(m.store);
      if (!store.running()) return false;  // it gives up a damaged state
      if (store.core().applied_index() != leader->core().log().last_index()) return false;
    }
    return true;
  };
  KVD_CHECK_MSG(Await(converged, std::chrono::seconds(30)),
                absl::StrCat("the replicas do not converge", Describe()));
  VerifyReplicas();
  if (!damage_random_.Chance(0.3)) return;
  DamageTwoStates();
  VerifyReplicas();
}

void Cluster::VerifyReplicas() {
  auto whole = [this] {
    SimStore* leader = Leader();
    if (leader == nullptr) return false;
    for (const raft::Member& m : leader->core().configuration().Members()) {
      auto it = stores_.find(m.store);
      if (it == stores_.end()) return false;  // it has not heard yet which ids it was allotted
      SimStore& store = *it->second;
      if (!store.running() || !store.StateIsWhole() || store.core().NeedsState() ||
          store.core().applied_index() != leader->core().log().last_index()) {
        return false;
      }
    }
    return true;
  };
  for (int i = 0; !VerifyOnce(); ++i) {
    KVD_CHECK_MSG(i < 5 && Await(whole, std::chrono::seconds(30)),
                  absl::StrCat("a damaged state is not rebuilt", Describe()));
  }
}

// False if it found damage that was done.
bool Cluster::VerifyOnce() {
  SimStore* leader = Leader();
  shard::Command command;
  command.kind = shard::CommandKind::kVerify;
  command.verification = scheduler_.random().Next() | 1;
  Index before = leader->core().log().last_index();
  leader->group().Submit(command, [](const auto&) {});
  std::vector<raft::Member> members = leader->core().configuration().Members();
  std::map<StoreId, uint64_t> starts;
  for (const raft::Member& m : members) starts[m.store] = stores_.at(m.store)->starts();
  auto found = [&](const raft::Member& m) {
    return stores_.at(m.store)->process().verifier->Find(command.verification);
  };
  // A sweep or a compaction may meet the damage first, and end the verification with the process;
  // and a snapshot that was asked for before may stand for the command.
  auto decayed = [&](const raft::Member& m) {
    SimStore& store = *stores_.at(m.store);
    return !store.running() || !store.StateIsWhole() || store.starts() != starts[m.store] ||
           (store.core().log().start() > before && found(m) == nullptr);
  };
  auto verified = [&](const raft::Member& m) {
    return !decayed(m) && found(m) != nullptr && found(m)->done;
  };
  auto settled = [&] {
    // A change of members that was asked for before may only now begin; whoever it takes out need
    // not have applied the command.
    if (const SimStore* now = Leader(); now != nullptr) {
      std::erase_if(members, [&](const raft::Member& m) {
        return !now->core().configuration().Contains(m.replica);
      });
    }
    return std::all_of(members.begin(), members.end(),
                       [&](const raft::Member& m) { return decayed(m) || verified(m); });
  };
  // The command may be lost with a leader.
  KVD_CHECK_MSG(Await(settled) || std::any_of(members.begin(), members.end(), decayed),
                absl::StrCat("the replicas do not verify", Describe()));
  const shard::Verification* first = nullptr;
  bool whole = true;
  for (const raft::Member& m : members) {
    if (!verified(m)) {
      whole = false;
      continue;
    }
    const shard::Verification& v = *found(m);
    if (first == nullptr) first = &v;
    KVD_CHECK_MSG(v.hashed && v.damaged() == 0 && v.index == first->index,
                  absl::StrCat("store ", m.store.value(), " has damage: ", v.state.first_damage));
    KVD_CHECK_MSG(v.state.hash == first->state.hash && v.state.keys == first->state.keys &&
                      v.state.versions == first->state.versions,
                  absl::StrCat("stores ", members.front().store.value(), " and ", m.store.value(),
                               " differ at index ", v.index.value()));
  }
  return whole;
}

void Cluster::ReadEverything() {
  std::set<std::string> keys;
  for (auto& client : clients_) {
    for (auto& [key, operations] : client->history()) keys.insert(key);
  }
  WorkloadOptions workload;
  workload.stores = static_cast<int>(stores_.size());
  clients_.push_back(std::make_unique<SimClient>(&scheduler_, &network_, 9998, workload));
  SimClient& reader = *clients_.back();
  reader.Stop();
  for (const std::string& key : keys) {
    reader.Read(key);
    KVD_CHECK_MSG(Await([&] { return reader.idle(); }) && reader.unknown() == 0,
                  absl::StrCat("the last read of ", key, " has no answer", Describe()));
  }
}

void Cluster::CheckHistories() {
  std::map<std::string, std::vector<check::Operation>> all;
  for (auto& client : clients_) {
    report_.operations += client->operations();
    report_.unknown += client->unknown();
    for (auto& [key, operations] : client->history()) {
      auto& merged = all[key];
      merged.insert(merged.end(), operations.begin(), operations.end());
    }
  }
  for (auto& [key, operations] : all) {
    auto verdict = check::CheckLinearizable(operations);
    if (verdict == check::Verdict::kLinearizable) continue;
    std::sort(operations.begin(), operations.end(),
              [](const auto& a, const auto& b) { return a.called < b.called; });
    std::string text =
        absl::StrCat("history of ", key, " is ",
                     verdict == check::Verdict::kUndecided ? "undecided" : "not linearizable");
    for (const auto& op : operations) absl::StrAppend(&text, "\n  ", check::Describe(op));
    KVD_CHECK_MSG(false, text);
  }
}

}  // namespace kvd::sim
