#include "tests/sim/cluster.h"

#include "absl/strings/str_cat.h"
#include "proto/check.h"
#include "proto/codec.h"
#include "proto/crc32c.h"

namespace kvd::sim {

std::string Report::ToString() const {
  return absl::StrCat("events=", events, " operations=", operations, " unknown=", unknown,
                      " crashes=", crashes, " cuts=", cuts, " disks_filled=", disks_filled,
                      " membership=", membership_changes,
                      " snapshots=", snapshots, " states_lost=", states_lost, " logs_damaged=", logs_damaged,
                      " states_damaged=", states_damaged, " rebuilds=", rebuilds,
                      disks_lost == 0 ? "" : absl::StrCat(" disks_lost=", disks_lost), " elections=", elections,
                      " applied=", applied.value(), " fingerprint=", fingerprint);
}

Cluster::Cluster(const ClusterOptions& options)
    : options_(options),
      scheduler_(options.seed),
      network_(&scheduler_),
      fault_points_(scheduler_.random().Fork()),
      damage_random_(options.seed * 2 + 1),
      loss_random_(options.seed ^ 0x10575) {
  DrawOptions();
  Bootstrap();
  scheduler_.after_event = [this] {
    if (!clocks_beyond_bound_) invariants_.CheckLeases(stores_);
  };
}

Cluster::~Cluster() { scheduler_.after_event = nullptr; }

// Every seed has its own mix of faults; some are calm.
void Cluster::DrawOptions() {
  Random& random = scheduler_.random();
  voters_ = options_.voters != 0 ? options_.voters : (random.Chance(0.7) ? 3 : 5);
  auto& host = store_options_.host;
  host.core.election_timeout_min = milliseconds(600);
  host.log_entries_kept = random.Chance(0.5) ? 20 : 5000;
  if (options_.log_entries_kept != 0) host.log_entries_kept = options_.log_entries_kept;
  host.truncate_interval = milliseconds(200);
  host.core.cache_bytes_max = random.Chance(0.5) ? 2000 : 1 << 20;
  host.core.append_bytes_max = random.Chance(0.3) ? 100 : 1 << 20;
  if (random.Chance(0.3)) host.core.apply_bytes_max = 1;
  // By the seed itself, so that what is drawn from it stays the same.
  if (options_.seed % 2 == 0) host.core.join_bytes_max = options_.seed % 4 == 0 ? 1000 : 256 << 10;
  host.snapshot.give_up_after = milliseconds(3000);
  host.snapshot.resend_after = milliseconds(300);
  store_options_.group.retention = random.Chance(0.5) ? milliseconds(2000) : std::chrono::minutes(10);
  store_options_.group.snapshot_chunk_bytes = random.Between(50, 2000);
  store_options_.voters_wanted = static_cast<size_t>(voters_);
  store_options_.group.clients_max = random.Chance(0.3) ? 2 : 1000;
  if (random.Chance(0.2)) store_options_.group.read_mode = raft::ReadMode::kReadIndex;
  if (!options_.faults) return;
  fault_rate_ = random.Chance(0.1) ? 0 : random.Chance(0.5) ? 1 : 3;
  membership_faults_ = random.Chance(0.5);
  if (random.Chance(0.6)) network_.faults.loss = static_cast<double>(random.Below(20)) / 100;
  if (random.Chance(0.5)) network_.faults.duplication = static_cast<double>(random.Below(20)) / 100;
  if (random.Chance(0.5)) network_.faults.late_chance = static_cast<double>(random.Below(20)) / 100;
  if (random.Chance(0.5)) network_.faults.delay_max = milliseconds(random.Between(1, 30));
  if (random.Chance(0.5)) network_.faults.late_max = milliseconds(random.Between(100, 4000));
  if (random.Chance(0.3)) store_options_.disk.slow_chance = 0.02;
  // Then nobody may count on leases: reads go by ReadIndex, and everything else must hold.
  clocks_beyond_bound_ = random.Chance(0.1);
  if (clocks_beyond_bound_) store_options_.group.read_mode = raft::ReadMode::kReadIndex;
}

void Cluster::MakeStore(StoreId id) {
  StoreOptions options = store_options_;
  Random& random = scheduler_.random();
  // Within the bound that the lease relies on: it is a tenth shorter than the election timeout.
  options.clock_rate = 1.0 + (static_cast<double>(random.Below(80)) - 40) / 1000;
  if (clocks_beyond_bound_) options.clock_rate = 0.6 + static_cast<double>(random.Below(1000)) / 1000;
  options.wall_offset_ms = static_cast<int64_t>(random.Below(2000)) - 1000;
  auto& store = stores_[id] = std::make_unique<SimStore>(&scheduler_, &network_, id, options);
  store->on_applied = [this](SimStore& s, const raft::Entry& entry, const shard::CommandResult& r) {
    invariants_.Applied(s, entry, r);
  };
  store->after_turn = [this](SimStore& s) { invariants_.AfterTurn(s); };
  store->on_crashed = [this](SimStore& s) {
    ++report_.crashes;
    StartLater(s.id());
  };
}

void Cluster::Bootstrap() {
  raft::Configuration configuration;
  for (uint64_t i = 1; i <= static_cast<uint64_t>(voters_); ++i) {
    configuration.voters.push_back({ReplicaId(i), StoreId(i)});
  }
  for (const raft::Member& m : configuration.voters) {
    MakeStore(m.store);
    stores_[m.store]->Format(m.replica, configuration);
    stores_[m.store]->Start();
  }
  shard::Command command;
  command.kind = shard::CommandKind::kBootstrap;
  command.cluster = kCluster;
  command.store = StoreId(static_cast<uint64_t>(voters_));
  command.replica = ReplicaId(static_cast<uint64_t>(voters_));
  command.address = AddressOf(command.store.value());
  // A leader may be lost with the command.
  bool done = false;
  for (int attempt = 0; attempt < 10 && !done; ++attempt) {
    KVD_CHECK(Await([this] { return Leader() != nullptr && Leader()->group().ready(); }));
    auto answered = std::make_shared<bool>(false);
    Leader()->group().Submit(command, [answered](const auto&) { *answered = true; });
    Await([&] { return *answered; }, std::chrono::seconds(3));
    done = Await([this] { return Leader() != nullptr && !Leader()->group().meta().shards.empty(); },
                 std::chrono::seconds(3));
  }
  KVD_CHECK(done);
}

SimStore* Cluster::Leader() {
  SimStore* leader = nullptr;
  for (auto& [id, store] : stores_) {
    if (!store->running() || !store->core().IsLeader()) continue;
    if (leader == nullptr || store->core().term() > leader->core().term()) leader = store.get();
  }
  return leader;
}

bool Cluster::Await(const std::function<bool()>& condition, Duration limit) {
  auto end = scheduler_.now() + limit;
  while (!condition()) {
    if (scheduler_.now() >= end || !scheduler_.RunOne()) return false;
  }
  return true;
}

void Cluster::Partition(const std::vector<uint64_t>& side) {
  auto inside = [&](uint64_t node) {
    return std::find(side.begin(), side.end(), node) != side.end();
  };
  for (auto& [a, unused_a] : stores_) {
    for (auto& [b, unused_b] : stores_) {
      if (inside(a.value()) == inside(b.value())) continue;
      network_.Cut(a.value(), b.value());
    }
  }
}

void Cluster::StartClients(int count) {
  WorkloadOptions workload;
  workload.stores = voters_;
  if (scheduler_.random().Chance(0.4)) workload.keys = static_cast<int>(scheduler_.random().Between(1, 2));
  if (options_.keys != 0) workload.keys = options_.keys;
  for (int i = 0; i < count; ++i) {
    clients_.push_back(std::make_unique<SimClient>(
        &scheduler_, &network_, 1000 + clients_.size(), workload));
    clients_.back()->Start();
  }
}

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
    if (!store.running() && store.formatted()) store.Start();
  });
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
      case 1: places.insert(std::next(entries.begin(), static_cast<ptrdiff_t>(random.Below(entries.size())))->first); break;
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

void Cluster::AddStore() {
  SimStore* leader = Leader();
  if (leader == nullptr || !leader->group().ready()) return;
  shard::Command join;
  join.kind = shard::CommandKind::kJoin;
  join.nonce = scheduler_.random().Next() | 1;
  join.address = "not known yet";
  leader->group().Submit(join, [this, leader](absl::StatusOr<shard::CommandResult> result) {
    if (!result.ok() || stores_.contains(result->store) || !leader->running()) return;
    // A simulated store's address is its id.
    shard::Command address;
    address.kind = shard::CommandKind::kStoreAddress;
    address.store = result->store;
    address.address = AddressOf(result->store.value());
    leader->group().Submit(std::move(address), [](const auto&) {});
    MakeStore(result->store);
    SimStore& fresh = *stores_.at(result->store);
    fresh.Format(result->replica, raft::Configuration());
    fresh.Start();
    raft::Member member{result->replica, result->store};
    leader->process().membership->AddLearner(member, [this, leader, member](absl::Status status) {
      if (!status.ok() || !leader->running()) return;
      ReplicaId replaced;
      const auto& voters = leader->core().configuration().voters;
      if (scheduler_.random().Chance(0.6) && voters.size() >= 3) {
        replaced = voters[scheduler_.random().Below(voters.size())].replica;
      }
      Promote(*leader, member.replica, replaced);
    });
  });
}

void Cluster::Promote(SimStore& leader, ReplicaId learner, ReplicaId replaced) {
  service::Promotion promotion;
  promotion.learner = learner;
  if (replaced) promotion.replaced.push_back(replaced);
  promotion.patience = std::chrono::seconds(5);
  leader.process().membership->Promote(promotion, [this](absl::Status status) {
    if (status.ok()) ++report_.membership_changes;
  });
}

void Cluster::ChangeMembers() {
  Random& random = scheduler_.random();
  SimStore* leader = Leader();
  if (leader == nullptr) return;
  const raft::Configuration& c = leader->core().configuration();
  if (!c.learners.empty() && random.Chance(0.5)) {
    return Promote(*leader, c.learners[random.Below(c.learners.size())].replica, ReplicaId());
  }
  if (c.voters.size() > 3 && random.Chance(0.6)) {
    ReplicaId victim = c.voters[random.Below(c.voters.size())].replica;
    return leader->process().membership->Remove(victim, [this](absl::Status status) {
      if (status.ok()) ++report_.membership_changes;
    });
  }
  if (stores_.size() < static_cast<size_t>(voters_) + losses_.size() + 4) AddStore();
}

void Cluster::Heal() {
  faulting_ = false;
  fault_points_.set_active(false);
  network_.MendAll();
  network_.faults = NetworkFaults();
  for (auto& [id, store] : stores_) {
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
                    c.term().value(), " log ", c.log().start().value(), "..", c.log().last_index().value(),
                    " stable ", c.log().stable().value(), " commit ", c.commit_index().value(),
                    " applied ", c.applied_index().value(), " ", c.configuration().ToString(),
                    c.removed() ? " removed" : "", c.NeedsState() ? " needs state" : "",
                    store->StateIsWhole() ? "" : " damaged",
                    store->process().rebuilder->damage().empty() ? "" : " reported: ",
                    store->process().rebuilder->damage());
    for (const auto& [peer, progress] : c.progress()) {
      absl::StrAppend(&out, "\n    -> ", peer.value(), " ", ToString(progress.state()), " match ",
                      progress.match().value(), " next ", progress.next().value());
    }
  }
  return out;
}

// All members of the configuration in force reach the same position and state.
void Cluster::Converge() {
  bool served = false;
  bool answered = false;
  WorkloadOptions workload;
  workload.stores = static_cast<int>(stores_.size());
  SimClient probe(&scheduler_, &network_, 9999, workload);
  probe.Probe([&](bool ok) {
    served = ok;
    answered = true;
  });
  KVD_CHECK_MSG(Await([&] { return answered; }, std::chrono::seconds(25)), "no answer to the probe");
  KVD_CHECK_MSG(served, absl::StrCat("the healed cluster does not serve", Describe()));
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
}

void Cluster::VerifyReplicas() {
  auto whole = [this] {
    SimStore* leader = Leader();
    if (leader == nullptr) return false;
    for (const raft::Member& m : leader->core().configuration().Members()) {
      SimStore& store = *stores_.at(m.store);
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
  leader->group().Submit(command, [](const auto&) {});
  std::vector<raft::Member> members = leader->core().configuration().Members();
  std::map<StoreId, uint64_t> starts;
  for (const raft::Member& m : members) starts[m.store] = stores_.at(m.store)->starts();
  // A sweep or a compaction may meet the damage first, and end the verification with the process.
  auto decayed = [&](const raft::Member& m) {
    SimStore& store = *stores_.at(m.store);
    return !store.running() || !store.StateIsWhole() || store.starts() != starts[m.store];
  };
  auto found = [&](const raft::Member& m) {
    return stores_.at(m.store)->process().verifier->Find(command.verification);
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
    std::string text = absl::StrCat("history of ", key, " is ",
                                    verdict == check::Verdict::kUndecided ? "undecided" : "not linearizable");
    for (const auto& op : operations) absl::StrAppend(&text, "\n  ", check::Describe(op));
    KVD_CHECK_MSG(false, text);
  }
}

Report Cluster::Run() {
  StartClients(static_cast<int>(scheduler_.random().Between(2, 5)));
  faulting_ = options_.faults;
  if (faulting_) ScheduleFault();
  if (faulting_ && damage_random_.Chance(0.33)) ScheduleDamage();
  // By the seed itself, as above.
  if (faulting_ && fault_rate_ > 0 && options_.seed % 3 == 0) ScheduleLoss();
  fault_points_.set_active(faulting_ && fault_rate_ > 0);
  Elapse(options_.duration);
  for (auto& client : clients_) client->Stop();
  Heal();
  KVD_CHECK(Await([&] {
    for (auto& client : clients_) {
      if (!client->idle()) return false;
    }
    return true;
  }, std::chrono::seconds(20)));
  Converge();
  CheckHistories();
  report_.events = scheduler_.events();
  report_.applied = invariants_.highest_applied();
  std::string state;
  for (auto& [id, store] : stores_) {
    report_.rebuilds += store->rebuilds();
    if (!store->running()) continue;
    report_.snapshots += store->process().host->counters().snapshots_installed;
    report_.elections += store->process().host->counters().elections_won;
    const shard::GroupMeta& meta = store->group().meta();
    if (!store->StateIsWhole()) continue;  // no member any more: nobody asked it
    auto totals = shard::HashState(store->engine(), kGroup, meta.safe_point, meta.clock);
    KVD_CHECK_MSG(totals.ok(), totals.status().ToString());
    Writer(&state).Fixed64(totals->hash);
  }
  Writer(&state).Fixed64(scheduler_.random().Next());
  report_.fingerprint = Crc32c(state);
  return report_;
}

}  // namespace kvd::sim
