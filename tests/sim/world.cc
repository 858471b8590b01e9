#include "tests/sim/world.h"

#include "absl/strings/str_cat.h"
#include "proto/check.h"

namespace kvd::sim {

namespace {

struct WorldCounter {
  const char* name;
  uint64_t WorldReport::*count;
};
constexpr WorldCounter kCounters[] = {
    {"events", &WorldReport::events},
    {"operations", &WorldReport::operations},
    {"unknown", &WorldReport::unknown},
    {"crashes", &WorldReport::crashes},
    {"cuts", &WorldReport::cuts},
    {"messages lost", &WorldReport::messages_lost},
    {"shards moved", &WorldReport::moved},
    {"split", &WorldReport::split},
    {"merged", &WorldReport::merged},
    {"operations cancelled", &WorldReport::cancelled},
    {"groups made", &WorldReport::groups_made},
    {"changes of replicas", &WorldReport::replica_changes},
    {"stores drained", &WorldReport::drained},
    {"scans", &WorldReport::scans},
    {"split by load", &WorldReport::load_splits},
    {"merged as they are small", &WorldReport::small_merges},
};

}  // namespace

std::string WorldReport::ToString() const {
  std::string text;
  for (const WorldCounter& c : kCounters)
    absl::StrAppend(&text, text.empty() ? "" : ", ", this->*c.count, " ", c.name);
  return text;
}

std::string WorldReport::Missing() const {
  std::string text;
  for (const WorldCounter& c : kCounters) {
    if (this->*c.count == 0) absl::StrAppend(&text, text.empty() ? "" : ", ", c.name);
  }
  return text;
}

WorldReport& WorldReport::operator+=(const WorldReport& other) {
  for (const WorldCounter& c : kCounters) this->*c.count += other.*c.count;
  return *this;
}

World::World(const WorldOptions& options)
    : options_(options),
      scheduler_(options.seed),
      network_(&scheduler_),
      fault_points_(Random(options.seed ^ 0x5eed)),
      operation_random_(options.seed ^ 0x09e7a7e) {
  DrawOptions();
  scheduler_.after_event = [this] { AfterEvent(); };
  Bootstrap();
}

World::~World() { scheduler_.after_event = nullptr; }

void World::AfterEvent() { oracle_.Check(); }

void World::DrawOptions() {
  Random& random = scheduler_.random();
  auto& host = store_options_.host;
  host.core.election_timeout_min = milliseconds(600);
  host.log_entries_kept = random.Chance(0.5) ? 200 : 5000;
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
  fault_rate_ = random.Chance(0.1) ? 0 : random.Chance(0.5) ? 1 : 3;
  if (random.Chance(0.6)) network_.faults.loss = static_cast<double>(random.Below(15)) / 100;
  if (random.Chance(0.5)) network_.faults.duplication = static_cast<double>(random.Below(20)) / 100;
  if (random.Chance(0.5)) network_.faults.late_chance = static_cast<double>(random.Below(15)) / 100;
  if (random.Chance(0.5)) network_.faults.delay_max = milliseconds(random.Between(1, 30));
  if (random.Chance(0.3)) store_options_.disk.slow_chance = 0.02;
}

NodeStore& World::MakeStore(StoreId id, const std::string& address, uint64_t nonce) {
  NodeStoreOptions options = store_options_;
  Random& random = scheduler_.random();
  options.clock_rate = 1.0 + (static_cast<double>(random.Below(80)) - 40) / 1000;
  options.wall_offset_ms = static_cast<int64_t>(random.Below(2000)) - 1000;
  options.node.address = address;
  options.node.nonce = nonce;
  auto& store = stores_[id] = std::make_unique<NodeStore>(&scheduler_, &network_, id, options);
  store->on_applied = [this](NodeStore&, GroupId group, const raft::Entry& entry,
                             const shard::CommandResult& result) {
    oracle_.Applied(group, entry, result);
  };
  store->on_crashed = [this](NodeStore& s) {
    ++report_.crashes;
    StartLater(s.id());
  };
  return *store;
}

void World::Bootstrap() {
  NodeStore& first = MakeStore(StoreId(1), AddressOf(1), 1);
  joined_[1] = StoreId(1);
  first.Format();
  first.Start();
  bool done = false;
  KVD_CHECK(Await([&] {
    if (!first.running()) first.Start();
    if (!done && first.node().controller() != nullptr && first.node().controller()->ready()) {
      done = true;
      first.process().loop->Post([&first] { first.node().Bootstrap([](const absl::Status&) {}); });
    }
    const shardctrler::State* known = state();
    return known != nullptr && !known->shards().empty() && Settled();
  }));
  for (int i = 1; i < options_.stores; ++i) AddStore();
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

void World::AddStore() {
  uint64_t nonce = 100 + joined_.size();
  joined_[nonce] = StoreId();
  AskToJoin(nonce, 500 + nonce);
}

// As a real one: whoever can be reached is asked, and sends on to the controller's leader.
void World::AskToJoin(uint64_t nonce, Node node) {
  if (joined_[nonce]) return;
  scheduler_.After(milliseconds(operation_random_.Between(100, 700)),
                   [this, nonce, node] { AskToJoin(nonce, node); });
  NodeStore* leader = Leader();
  if (leader == nullptr) return;
  internal::v1::StoreRequest request;
  request.mutable_join()->set_address(AddressOf(node));
  request.mutable_join()->set_join_nonce(nonce);
  request.mutable_join()->set_cores(4);
  leader->process().loop->Post([this, leader, nonce, node, request] {
    leader->node().Handle(request, [this, nonce, node](const auto& answer) {
      // The answer may be lost: asking again gives the same.
      if (!answer.ok() || joined_[nonce] || operation_random_.Chance(0.1)) return;
      StoreId id(answer->join().store_id());
      joined_[nonce] = id;
      network_.successors[node] = id.value();
      scheduler_.After(Duration::zero(), [this, id, nonce, node, known = answer->join().routing()] {
        NodeStore& store = MakeStore(id, AddressOf(node), nonce);
        store.Remember(known);
        store.Start();
      });
    });
  });
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
  faulting_ = options_.faults;
  fault_points_.set_active(faulting_ && fault_rate_ > 0);
  working_ = true;
  if (faulting_) ScheduleFault();
  if (options_.operations) ScheduleOperation();
  ScheduleScan();
  Elapse(options_.duration);
  faulting_ = working_ = false;
  fault_points_.set_active(false);
  Heal();
  Settle();
  StopClients();
  ReadEverything();
  // Something may have been begun at the last moment.
  Settle();
  Check();
  report_.messages_lost = network_.lost;
  report_.events = scheduler_.events();
  for (auto& client : clients_) {
    report_.operations += client->operations();
    report_.unknown += client->unknown();
  }
  return report_;
}

}  // namespace kvd::sim
