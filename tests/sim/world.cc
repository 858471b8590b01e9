#include "tests/sim/world.h"

#include "absl/strings/str_cat.h"
#include "proto/check.h"

namespace kvd::sim {

World::World(const WorldOptions& options)
    : options_(options),
      scheduler_(options.seed),
      network_(&scheduler_),
      fault_points_(Random(options.seed ^ 0x5eed), kFaultPointCount),
      operation_random_(options.seed ^ 0x09e7a7e),
      clock_random_(options.seed ^ 0xC10C),
      disk_random_(options.seed ^ 0xD15C),
      damage_random_(options.seed ^ 0xDA3A6E),
      loss_random_(options.seed ^ 0x10575) {
  DrawOptions();
  crowded_ = operation_random_.Chance(0.1);
  scheduler_.after_event = [this] { AfterEvent(); };
  Bootstrap();
}

World::~World() { scheduler_.after_event = nullptr; }

void World::AfterEvent() { oracle_.Check(); }

void World::DrawOptions() {
  Random& random = scheduler_.random();
  auto& host = store_options_.host;
  host.core.election_timeout_min = milliseconds(600);
  host.log_entries_kept = random.Chance(0.5) ? 20 : 5000;
  host.truncate_interval = milliseconds(200);
  host.snapshot.give_up_after = milliseconds(3000);
  host.snapshot.resend_after = milliseconds(300);
  store_options_.group.retention =
      random.Chance(0.4) ? milliseconds(2000) : std::chrono::minutes(10);
  if (options_.retention > Duration::zero()) store_options_.group.retention = options_.retention;
  store_options_.group.snapshot_chunk_bytes = random.Between(500, 4000);
  store_options_.group.row_cache_bytes = random.Chance(0.5) ? 0 : 1 << 20;
  auto& node = store_options_.node;
  node.cores = 4;  // as many as a group is made for
  node.report_interval = milliseconds(random.Between(200, 1000));
  node.controller.by_hand = options_.by_hand;
  node.controller.schedule_interval = milliseconds(200);
  node.importer.chunk_bytes = random.Between(20, 400);
  node.importer.bytes_per_second = random.Chance(0.5) ? 0 : 20'000;
  node.controller.driver.last_round_bytes_max = random.Between(50, 500);
  if (!options_.faults) return;
  fault_rate_ = random.Chance(0.1) ? 0 : random.Chance(0.5) ? 0.3 : random.Chance(0.5) ? 1 : 3;
  if (random.Chance(0.6)) network_.faults.loss = static_cast<double>(random.Below(15)) / 100;
  if (random.Chance(0.5)) network_.faults.duplication = static_cast<double>(random.Below(20)) / 100;
  if (random.Chance(0.5)) network_.faults.late_chance = static_cast<double>(random.Below(15)) / 100;
  if (random.Chance(0.5)) network_.faults.delay_max = milliseconds(random.Between(1, 30));
  if (random.Chance(0.3)) store_options_.disk.slow_chance = 0.02;
  if (random.Chance(0.5)) network_.faults.late_max = milliseconds(random.Between(100, 4000));
  // Then nobody may count on leases: reads go by ReadIndex, and everything else must hold.
  clocks_beyond_bound_ = random.Chance(0.1);
  if (clocks_beyond_bound_) store_options_.group.read_mode = raft::ReadMode::kReadIndex;
}

bool World::Await(const std::function<bool()>& condition, Duration limit) {
  auto end = scheduler_.now() + limit;
  while (!condition()) {
    if (scheduler_.now() >= end || !scheduler_.RunOne()) return false;
  }
  return true;
}

NodeStore* World::Leader(GroupId group) {
  NodeStore* leader = nullptr;
  Term term;
  for (auto& [id, store] : stores_) {
    if (!store->running()) continue;
    const raft::Host& host = *store->process().host;
    if (!host.Has(group) || !host.core(group).IsLeader() || host.core(group).term() < term)
      continue;
    leader = store.get();
    term = host.core(group).term();
  }
  return leader;
}

const shardctrler::State* World::state() {
  NodeStore* leader = Leader();
  if (leader == nullptr || leader->node().controller() == nullptr ||
      !leader->node().controller()->ready())
    return nullptr;
  return &leader->node().controller()->state();
}

void World::Control(const shardctrler::Command& command,
                    std::function<void(absl::StatusOr<shardctrler::Result>)> done) {
  NodeStore* leader = Leader();
  if (leader == nullptr || leader->node().controller() == nullptr) {
    if (done) done(absl::UnavailableError("no leader"));
    return;
  }
  leader->process().loop->Post([node = &leader->node(), command, done] {
    if (node->controller() == nullptr) return;
    node->controller()->Propose(command, [done](const auto& result) {
      if (done) done(result);
    });
  });
}

absl::StatusOr<shardctrler::Result> World::ControlNow(const shardctrler::Command& command) {
  std::optional<absl::StatusOr<shardctrler::Result>> answer;
  Await([&] { return state() != nullptr; });
  Control(command, [&](absl::StatusOr<shardctrler::Result> result) { answer = std::move(result); });
  if (!Await([&] { return answer.has_value(); }))
    return absl::UnavailableError("the controller did not answer");
  return *std::move(answer);
}

shardctrler::Phase World::AwaitOperation(OperationId id, Duration limit) {
  shardctrler::Phase phase = shardctrler::Phase::kRunning;
  Await(
      [&] {
        const shardctrler::State* known = state();
        const shardctrler::Operation* o = known == nullptr ? nullptr : known->FindOperation(id);
        if (o != nullptr) phase = o->phase;
        return !shardctrler::IsOpen(phase);
      },
      limit);
  return phase;
}

void World::StartClients(int count) {
  WorkloadOptions workload;
  workload.stores = std::max(options_.stores, 1);
  workload.multi_get_chance = 0.05;
  for (int i = 0; i < count; ++i) {
    clients_.push_back(
        std::make_unique<SimClient>(&scheduler_, &network_, 1000 + clients_.size(), workload));
    clients_.back()->Start();
  }
}

void World::StopClients() {
  for (auto& client : clients_) client->Stop();
  KVD_CHECK(Await([&] {
    return std::all_of(clients_.begin(), clients_.end(),
                       [](const auto& client) { return client->idle(); });
  }));
}

WorldReport World::Run() {
  StartClients(options_.clients);
  // What may be lost of a grown cluster is more.
  if (options_.faults && loss_random_.Chance(0.6)) {
    Await([this] { return Grown(); }, std::chrono::seconds(30));
    if (options_.operations && operation_random_.Chance(0.5)) Spread();
  }
  faulting_ = options_.faults;
  fault_points_.set_active(faulting_ && fault_rate_ > 0);
  working_ = true;
  if (faulting_ && fault_rate_ > 0) {
    ScheduleFault();
    if (clock_random_.Chance(0.3)) ScheduleClock();
    if (disk_random_.Chance(0.3)) ScheduleDisk();
    if (damage_random_.Chance(0.3)) ScheduleDamage();
    if (loss_random_.Chance(0.3)) ScheduleLoss();
  }
  if (options_.operations) ScheduleOperation();
  ScheduleScan();
  Elapse(options_.duration);
  faulting_ = working_ = false;
  fault_points_.set_active(false);
  Heal();
  GiveUpTheForgotten();
  Settle();
  StopClients();
  ReadEverything();
  // Something may have been begun at the last moment.
  Settle();
  VerifyReplicas();
  if (options_.faults && damage_random_.Chance(0.2)) {
    DamageTwoStates();
    VerifyReplicas();
  }
  Settle();
  Check();
  report_.messages_lost = network_.lost;
  report_.messages_doubled = network_.doubled;
  report_.messages_late = network_.late;
  report_.clocks_adrift = clocks_beyond_bound_ ? 1 : 0;
  for (auto& [id, store] : stores_) report_.states_rebuilt += store->rebuilds();
  report_.events = scheduler_.events();
  for (auto& client : clients_) {
    report_.operations += client->operations();
    report_.unknown += client->unknown();
    report_.refused += client->refused();
  }
  return report_;
}

}  // namespace kvd::sim
