#include "tests/sim/cluster.h"

#include "absl/strings/str_cat.h"
#include "proto/check.h"
#include "proto/codec.h"
#include "proto/crc32c.h"
#include "tests/first_shard.h"

namespace kvd::sim {

std::string Report::ToString() const {
  return absl::StrCat(
      "events=", events, " operations=", operations, " unknown=", unknown, " crashes=", crashes,
      " cuts=", cuts, " disks_filled=", disks_filled, " membership=", membership_changes,
      " pauses=", pauses, " transfers=", transfers, " clock_jumps=", clock_jumps,
      " apply_stalls=", apply_stalls, " minorities=", minorities_broken, " snapshots=", snapshots,
      " states_lost=", states_lost, " logs_damaged=", logs_damaged,
      " states_damaged=", states_damaged, " rebuilds=", rebuilds,
      disks_lost == 0 ? "" : absl::StrCat(" disks_lost=", disks_lost), " elections=", elections,
      " cached_reads=", cached_reads, " applied=", applied.value(), " fingerprint=", fingerprint);
}

Cluster::Cluster(const ClusterOptions& options)
    : options_(options),
      scheduler_(options.seed),
      network_(&scheduler_),
      fault_points_(scheduler_.random().Fork(), kGroupFaultPointCount),
      invariants_(options.seed ^ 0x20ca),
      damage_random_(options.seed * 2 + 1),
      loss_random_(options.seed ^ 0x10575),
      clock_random_(options.seed ^ 0xC10C),
      stall_random_(options.seed ^ 0x57A11),
      minority_random_(options.seed ^ 0x3170) {
  DrawOptions();
  Bootstrap();
  scheduler_.after_event = [this] {
    invariants_.CheckPace(scheduler_.now());
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
  auto& rounds = host.core.rounds;
  if (options_.seed % 2 == 0) rounds.bytes_max = options_.seed % 4 == 0 ? 1000 : 256 << 10;
  if (options_.seed % 3 == 0) rounds.gather_commands_min = 1;
  host.snapshot.give_up_after = milliseconds(3000);
  host.snapshot.resend_after = milliseconds(300);
  store_options_.group.retention =
      random.Chance(0.5) ? milliseconds(2000) : std::chrono::minutes(10);
  store_options_.group.snapshot_chunk_bytes = random.Between(50, 2000);
  // None, a few rows, all of them.
  constexpr size_t kRowCacheBytes[] = {0, 800, 1 << 20};
  store_options_.group.row_cache_bytes = kRowCacheBytes[options_.seed % 3];
  // A value that was appended to becomes too large.
  store_options_.group.row_cache_row_bytes_max = options_.seed % 5 == 0 ? 150 : 400;
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
  if (clocks_beyond_bound_)
    options.clock_rate = 0.6 + static_cast<double>(random.Below(1000)) / 1000;
  options.wall_offset_ms = static_cast<int64_t>(random.Below(2000)) - 1000;
  auto& store = stores_[id] = std::make_unique<SimStore>(&scheduler_, &network_, id, options);
  store->on_applied = [this](SimStore& s, const raft::Entry& entry, const shard::CommandResult& r) {
    invariants_.Applied(s, entry, r);
  };
  store->after_turn = [this](SimStore& s) {
    invariants_.AfterTurn(s);
    invariants_.CheckRows(s);
  };
  store->on_going_out = [this](SimStore& s) { CheckOthersKeepTheirs(s); };
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
  shard::Command command = InstallFirstShard();
  next_store_ = StoreId(static_cast<uint64_t>(voters_) + 1);
  next_replica_ = ReplicaId(static_cast<uint64_t>(voters_) + 1);
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
  if (scheduler_.random().Chance(0.4))
    workload.keys = static_cast<int>(scheduler_.random().Between(1, 2));
  if (options_.keys != 0) workload.keys = options_.keys;
  for (int i = 0; i < count; ++i) {
    clients_.push_back(
        std::make_unique<SimClient>(&scheduler_, &network_, 1000 + clients_.size(), workload));
    clients_.back()->Start();
  }
}

// As the controller would: ids that nobody has, once a leader is sure that it leads.
void Cluster::Allot(const std::function<void(const raft::Member&)>& allotted) {
  SimStore* leader = Leader();
  if (leader == nullptr || !leader->group().ready()) return;
  leader->process().host->Read(
      kGroup, raft::ReadMode::kReadIndex, [this, allotted](const auto& ticket) {
        if (!ticket.ok()) return;
        raft::Member member{next_replica_, next_store_};
        ++next_replica_;
        ++next_store_;
        MakeStore(member.store);
        stores_.at(member.store)->Format(member.replica, raft::Configuration());
        // Not within the leader's own turn.
        scheduler_.After(Duration::zero(), [this, member, allotted] {
          if (!stores_.at(member.store)->formatted()) return;  // lost at once
          stores_.at(member.store)->Start();
          allotted(member);
        });
      });
}

void Cluster::AddStore() {
  Allot([this](const raft::Member& member) {
    SimStore* leader = Leader();
    if (leader == nullptr) return;
    std::vector<ReplicaId> replaced;
    const auto& voters = leader->core().configuration().voters;
    if (scheduler_.random().Chance(0.6) && voters.size() >= 3)
      replaced = {voters[scheduler_.random().Below(voters.size())].replica};
    Change(*leader, {member}, replaced);
  });
}

void Cluster::Change(SimStore& leader, const std::vector<raft::Member>& added,
                     const std::vector<ReplicaId>& removed) {
  node::ReplicaChange::Change change;
  change.operation = ++next_operation_;
  change.added = added;
  change.removed = removed;
  leader.process().loop->Post([this, change, process = &leader.process()] {
    process->change->Run(change, std::chrono::seconds(5),
                         [this](const absl::StatusOr<bool>& carried_out) {
                           if (carried_out.ok()) ++report_.membership_changes;
                         });
  });
}

void Cluster::ChangeMembers() {
  Random& random = scheduler_.random();
  SimStore* leader = Leader();
  if (leader == nullptr) return;
  const raft::Configuration& c = leader->core().configuration();
  if (!c.learners.empty() && random.Chance(0.5))
    return Change(*leader, {c.learners[random.Below(c.learners.size())]}, {});
  if (c.voters.size() > 3 && random.Chance(0.6))
    return Change(*leader, {}, {c.voters[random.Below(c.voters.size())].replica});
  if (stores_.size() < static_cast<size_t>(voters_) + losses_.size() + 4) AddStore();
}

Report Cluster::Run() {
  StartClients(static_cast<int>(scheduler_.random().Between(2, 5)));
  faulting_ = options_.faults;
  if (faulting_) ScheduleFault();
  if (faulting_ && damage_random_.Chance(0.33)) ScheduleDamage();
  // By the seed itself, as above.
  if (faulting_ && fault_rate_ > 0 && options_.seed % 3 == 0) ScheduleLoss();
  if (faulting_ && clock_random_.Chance(0.25)) ScheduleClockJump();
  if (faulting_ && stall_random_.Chance(0.25)) ScheduleStall();
  fault_points_.set_active(faulting_ && fault_rate_ > 0);
  Elapse(options_.duration);
  for (auto& client : clients_) client->Stop();
  Heal();
  if (options_.faults && minority_random_.Chance(0.33) && BreakMinority()) {
    MustServe();
    broken_.clear();
    Heal();
  }
  MustServe();
  // Their operations have a deadline of their own.
  KVD_CHECK(Await([&] {
    for (auto& client : clients_) {
      if (!client->idle()) return false;
    }
    return true;
  }));
  Converge();
  ReadEverything();
  CheckHistories();
  report_.messages_lost = network_.lost;
  report_.clocks_adrift = clocks_beyond_bound_ ? 1 : 0;
  report_.events = scheduler_.events();
  report_.applied = invariants_.highest_applied();
  report_.cached_reads = invariants_.cached_reads();
  std::string state;
  for (auto& [id, store] : stores_) {
    report_.rebuilds += store->rebuilds();
    if (!store->running()) continue;
    report_.apply_stalls += store->process().host->counters().apply_stalls;
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
