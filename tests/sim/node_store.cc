#include "tests/sim/node_store.h"

#include <algorithm>

#include "proto/check.h"

namespace kvd::sim {

NodeProcess::~NodeProcess() {
  // In the reverse order of dependence; callbacks of dropped proposals may still run.
  if (groups) groups->Detach();
  disk_watch.reset();
  host.reset();
  rebuilder.reset();
  node.reset();
  groups.reset();
  log_store.reset();
  flush_timer.reset();
}

NodeStore::NodeStore(Scheduler* scheduler, SimNetwork* network, StoreId id,
                     const NodeStoreOptions& options)
    : scheduler_(scheduler), network_(network), id_(id), options_(options) {}

NodeStore::~NodeStore() {
  if (running()) network_->endpoints.erase(id_.value());
}

void NodeStore::Format() {
  raft::LogWrite write;
  write.group = shardctrler::kControllerGroup;
  write.replica = ReplicaId(1);
  raft::Configuration alone;
  alone.voters = {{ReplicaId(1), id_}};
  write.reset = raft::SnapshotMeta{Index(), Term(), alone};
  write.hard_state = raft::HardState();
  log_disk_.Apply(write);
  auto* self = known_.add_stores();
  self->set_store_id(id_.value());
  self->set_address(address());
  auto* controller = known_.add_groups();
  controller->set_group_id(shardctrler::kControllerGroup.value());
  controller->add_replicas()->set_replica_id(1);
  controller->mutable_replicas(0)->set_store_id(id_.value());
}

// As the daemon does: gives up what is condemned or can't be opened. There are others, always.
void NodeStore::OpenStates(const std::vector<raft::GroupLog>& logs) {
  NodeProcess& p = *process_;
  std::vector<GroupId> ids;
  for (const raft::GroupLog& log : logs) {
    if (!log.removed) ids.push_back(log.group);
  }
  auto open = [&] {
    p.groups =
        std::make_unique<node::Groups>(&engine_, options_.group, [this](shard::DataGroup* g) {
          g->on_applied = [this, id = g->group()](const raft::Entry& entry,
                                                  const shard::CommandResult& result) {
            if (on_applied) on_applied(*this, id, entry, result);
          };
        });
    return p.groups->Open(ids);
  };
  absl::Status opened = open();
  if (!condemned_ && opened.ok()) return;
  KVD_CHECK_MSG(condemned_ || !engine_.damaged().empty(), opened.ToString());
  engine_ = storage::MemoryEngine();
  condemned_ = false;
  ++rebuilds_;
  opened = open();
  KVD_CHECK_MSG(opened.ok(), opened.ToString());
}

void NodeStore::Start() {
  KVD_CHECK(!running() && !lost_);
  ++starts_;
  lost_state_ = false;
  process_ = std::make_unique<NodeProcess>();
  NodeProcess& p = *process_;
  p.loop = std::make_unique<SimLoop>(scheduler_, options_.clock_rate, options_.wall_offset_ms);
  p.loop->set_on_crash([this] {
    Crash();
    if (on_crashed) on_crashed(*this);
  });
  p.transport = std::make_unique<SimTransport>(network_, id_);
  p.caller = std::make_unique<SimCaller>(network_, p.loop.get(), id_.value());
  p.log_store = std::make_unique<SimLogStore>(p.loop.get(), &log_disk_, options_.disk);
  raft::HostOptions host_options = options_.host;
  host_options.store = id_;
  p.host = std::make_unique<raft::Host>(p.loop.get(), p.log_store.get(), p.transport.get(),
                                        host_options);
  p.host->after_turn = [this] {
    if (after_turn) after_turn(*this);
  };
  p.worker = std::make_unique<SimWorker>(p.loop.get());
  p.verifier = std::make_unique<shard::Verifier>(p.loop.get(), p.worker.get(), nullptr);
  p.rebuilder = std::make_unique<shard::Rebuilder>(p.loop.get(), p.host.get());
  p.rebuilder->go_out = [this](const std::string&) {
    condemned_ = true;
    for (GroupId group : process_->host->groups()) given_up_.insert(group);
    if (on_going_out) on_going_out(*this);
    throw SimCrash();
  };
  p.verifier->on_damage = [&p](const absl::Status& damage) {
    p.rebuilder->Report(damage, shard::kVerifiedDamageDelay);
  };
  p.disk_watch = std::make_unique<shard::DiskWatch>(
      p.loop.get(), p.host.get(), &disk_, SimDisk::kMarks,
      [this](bool low) { KVD_CHECK(!low || engine_.Flush().ok()); });
  StartNode();
  AnswerNetwork();
  ScheduleFlush();
}

void NodeStore::StartNode() {
  NodeProcess& p = *process_;
  auto logs = p.log_store->Load();
  KVD_CHECK(logs.ok());
  OpenStates(*logs);
  node::NodeOptions node_options = options_.node;
  node_options.store = id_;
  node_options.cluster = kCluster;
  node_options.disk_space = [this] {
    bool low = process_->disk_watch->guard().state() != DiskState::kOk;
    return node::DiskSpace{disk_.FreeBytes(), SimDisk::kBytes, low};
  };
  p.node = std::make_unique<node::Node>(p.loop.get(), p.host.get(), p.groups.get(), p.caller.get(),
                                        p.caller.get(), node_options);
  p.node->Remember(known_);
  p.node->on_routing = [this] { known_ = process_->node->Known(); };
  absl::Status started = p.groups->Start(
      {p.loop.get(), p.host.get(), p.verifier.get(), p.rebuilder.get(), &p.disk_watch->guard()},
      *std::move(logs));
  KVD_CHECK_MSG(started.ok(), started.ToString());
  p.node->Start();
}

void NodeStore::AnswerNetwork() {
  NodeProcess& p = *process_;
  SimLoop* loop = p.loop.get();
  auto& endpoint = network_->endpoints[id_.value()];
  endpoint.on_messages = [loop, &p](std::vector<raft::GroupMessage> messages) {
    loop->Post([&p, messages = std::move(messages)]() mutable {
      p.host->OnMessages(std::move(messages));
    });
  };
  endpoint.on_chunk = [loop, &p](StoreId from, raft::SnapshotChunk chunk) {
    loop->Post([&p, from, chunk = std::move(chunk)]() mutable {
      p.host->OnChunk(from, std::move(chunk));
    });
  };
  endpoint.on_ack = [loop, &p](raft::SnapshotAck ack) {
    loop->Post([&p, ack] { p.host->OnAck(ack); });
  };
  endpoint.on_request = [loop, &p](service::RequestItem item, service::ItemCallback done) {
    loop->Post([&p, item = std::move(item), done = std::move(done)]() mutable {
      p.node->dispatcher().Execute(std::move(item), std::move(done));
    });
  };
  endpoint.on_store_request = [loop, &p](internal::v1::StoreRequest request, node::StoreDone done) {
    loop->Post([&p, request = std::move(request), done = std::move(done)]() mutable {
      p.node->Handle(std::move(request), std::move(done));
    });
  };
}

// In the background, as the real engine: flushes, and drops what nobody may ask for.
void NodeStore::ScheduleFlush() {
  NodeProcess& p = *process_;
  p.flush_timer = p.loop->After(milliseconds(p.loop->random().Between(20, 800)), [this] {
    NodeProcess& p = *process_;
    if (p.loop->random().Chance(0.7)) {
      KVD_CHECK(engine_.Flush().ok());
    } else {
      auto safe_point = [this](GroupId group) {
        auto bytes = engine_.GetPersisted(shard::SafePointKey(group));
        return bytes.ok() ? *shard::DecodeSafePoint(*bytes) : Timestamp();
      };
      Random& random = p.loop->random();
      bool all = random.Chance(0.5);
      engine_.Collect(storage::GcFilter(safe_point, all),
                      [&] { return all || random.Chance(0.5); });
    }
    auto finished = std::move(p.flush_timer);
    ScheduleFlush();
  });
}

void NodeStore::Crash() {
  KVD_CHECK(running());
  lost_state_ = !HasStates();
  std::erase_if(given_up_, [this](GroupId group) { return !Rebuilds(group); });
  network_->endpoints.erase(id_.value());
  process_->log_store->Crash(scheduler_->random());
  process_.reset();
  engine_.Crash();
}

void NodeStore::LoseState() {
  if (running()) Crash();
  engine_ = storage::MemoryEngine();
  condemned_ = false;
  given_up_.clear();
  lost_state_ = true;
}

void NodeStore::Lose() {
  if (running()) Crash();
  log_disk_ = LogDisk();
  engine_ = storage::MemoryEngine();
  given_up_.clear();
  lost_ = true;
}

bool NodeStore::DamageState(Random& random) { return sim::DamageState(&engine_, random); }

void NodeStore::DamageLog(GroupId group, const std::set<Index>& places) {
  LogDisk::Group& log = log_disk_.groups.at(group);
  for (Index index : places) {
    if (log.entries.contains(index)) log.damaged.insert(index);
  }
}

bool NodeStore::HasStates() const {
  for (GroupId group : process_->host->groups()) {
    if (process_->host->core(group).NeedsState()) return false;
  }
  return true;
}

bool NodeStore::Rebuilds(GroupId group) const {
  if (!given_up_.contains(group)) return false;
  if (!running() || condemned_) return true;
  return process_->host->Has(group) && process_->host->core(group).NeedsState();
}

bool NodeStore::StateIsWhole() const {
  // What was found damaged is given up even if it has been collected since.
  bool found = running() && !process_->rebuilder->damage().empty();
  return engine_.damaged().empty() && !condemned_ && !found;
}

bool NodeStore::Mends() const {
  if (!running()) return condemned_ || lost_state_;
  return condemned_ || !process_->rebuilder->damage().empty() || !HasStates();
}

bool NodeStore::IsWhole() const {
  if (lost_ || !StateIsWhole() || (running() ? !HasStates() : lost_state_)) return false;
  return std::none_of(log_disk_.groups.begin(), log_disk_.groups.end(), [](const auto& group) {
    return !group.second.record.removed && !group.second.damaged.empty();
  });
}

}  // namespace kvd::sim
