#include "tests/sim/sim_store.h"

#include "proto/check.h"

namespace kvd::sim {

Process::~Process() {
  // In the reverse order of dependence; callbacks of dropped proposals may still run.
  change.reset();
  disk_watch.reset();
  host.reset();
  rebuilder.reset();
  dispatcher.reset();
  group.reset();
  log_store.reset();
  flush_timer.reset();
}

bool DamageState(storage::MemoryEngine* engine, Random& random) {
  using Rot = storage::MemoryEngine::Rot;
  if (engine->contents().empty()) return false;
  auto at = engine->contents().begin();
  std::advance(at, static_cast<ptrdiff_t>(random.Below(engine->contents().size())));
  // Blocks have checksums; a value has one of its own, for what happens to it elsewhere.
  auto version =
      storage::IsVersionKey(at->first) ? storage::DecodeVersion(at->second) : std::nullopt;
  bool value = version.has_value() && version->kind == storage::VersionKind::kValue;
  bool any =
      engine->Damage(at->first, value && random.Chance(0.5) ? Rot::kFlippedBit : Rot::kUnreadable);
  // A block is more than a pair.
  for (auto n = random.Below(4); n > 0 && any && ++at != engine->contents().end(); --n) {
    engine->Damage(at->first, Rot::kUnreadable);
  }
  return any;
}

void SimWorker::Run(std::unique_ptr<Job> job) {
  loop_->Post([this, job = std::move(job)]() mutable {
    if (job->Step()) Run(std::move(job));
  });
}

bool SimDisk::CreateReserve(uint64_t bytes) {
  if (free_ < bytes) return false;
  free_ -= bytes - std::exchange(reserve_, bytes);
  return true;
}

SimStore::SimStore(Scheduler* scheduler, SimNetwork* network, StoreId id,
                   const StoreOptions& options)
    : scheduler_(scheduler), network_(network), id_(id), options_(options) {}

SimStore::~SimStore() {
  if (running()) network_->endpoints.erase(id_.value());
}

void SimStore::Format(ReplicaId replica, const raft::Configuration& configuration) {
  KVD_CHECK(!running());
  raft::LogWrite write;
  write.group = kGroup;
  write.replica = replica;
  write.reset = raft::SnapshotMeta{Index(), Term(), configuration};
  write.hard_state = raft::HardState();
  log_disk_.Apply(write);
}

// As the daemon does: gives up what is condemned or can't be opened. There are others, always.
void SimStore::OpenState() {
  auto group = shard::DataGroup::Open(&engine_, kGroup, options_.group);
  if (condemned_ || !group.ok()) {
    KVD_CHECK_MSG(condemned_ || !engine_.damaged().empty(), group.status().ToString());
    engine_ = storage::MemoryEngine();
    condemned_ = false;
    ++rebuilds_;
    group = shard::DataGroup::Open(&engine_, kGroup, options_.group);
    KVD_CHECK_MSG(group.ok(), group.status().ToString());
  }
  process_->group = *std::move(group);
}

void SimStore::Start() {
  KVD_CHECK(!running() && formatted());
  ++starts_;
  lost_state_ = false;
  process_ = std::make_unique<Process>();
  Process& p = *process_;
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
  auto logs = p.log_store->Load();
  KVD_CHECK(logs.ok() && logs->size() == 1);
  OpenState();
  p.group->on_applied = [this](const raft::Entry& entry, const shard::CommandResult& result) {
    if (on_applied) on_applied(*this, entry, result);
  };
  p.host->after_turn = [this] {
    if (after_turn) after_turn(*this);
  };
  p.worker = std::make_unique<SimWorker>(p.loop.get());
  p.verifier = std::make_unique<shard::Verifier>(p.loop.get(), p.worker.get(), nullptr);
  p.rebuilder = std::make_unique<shard::Rebuilder>(p.loop.get(), p.host.get());
  p.rebuilder->go_out = [this](const std::string&) {
    condemned_ = true;
    rebuilding_ = true;
    if (on_going_out) on_going_out(*this);
    throw SimCrash();
  };
  p.verifier->on_damage = [&p](const absl::Status& damage) {
    p.rebuilder->Report(damage, shard::kVerifiedDamageDelay);
  };
  p.disk_watch = std::make_unique<shard::DiskWatch>(
      p.loop.get(), p.host.get(), &disk_, SimDisk::kMarks,
      [this](bool low) { KVD_CHECK(!low || engine_.Flush().ok()); });
  p.group->Attach(p.loop.get(), p.host.get(), p.verifier.get(), p.rebuilder.get(),
                  &p.disk_watch->guard());
  absl::Status started = p.host->StartGroup((*logs)[0], p.group.get());
  KVD_CHECK_MSG(started.ok(), started.ToString());
  p.router = std::make_unique<LoneRouter>(p.host.get(), p.group.get());
  p.dispatcher = std::make_unique<service::Dispatcher>(
      p.loop.get(), p.host.get(), p.router.get(), p.caller.get(),
      service::Identity{kCluster, id_, AddressOf(id_.value())});
  p.change = std::make_unique<node::ReplicaChange>(p.loop.get(), p.host.get(), p.group.get());
  AnswerNetwork();
  ScheduleFlush();
}

void SimStore::AnswerNetwork() {
  Process& p = *process_;
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
      p.dispatcher->Execute(std::move(item), std::move(done));
    });
  };
}

// In the background, as the real engine: flushes, and drops what nobody may ask for.
void SimStore::ScheduleFlush() {
  Process& p = *process_;
  p.flush_timer = p.loop->After(milliseconds(p.loop->random().Between(20, 800)), [this] {
    Process& p = *process_;
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

void SimStore::Crash() {
  KVD_CHECK(running());
  last_at_crash_ = core().log().last_index();
  lost_state_ = core().NeedsState();
  rebuilding_ = rebuilding();
  network_->endpoints.erase(id_.value());
  process_->log_store->Crash(scheduler_->random());
  process_.reset();
  engine_.Crash();
}

void SimStore::LoseState() {
  if (running()) Crash();
  engine_ = storage::MemoryEngine();
  condemned_ = false;
  rebuilding_ = false;
  lost_state_ = true;
}

bool SimStore::DamageState(Random& random) { return sim::DamageState(&engine_, random); }

void SimStore::DamageLog(const std::set<Index>& places) {
  LogDisk::Group& group = log_disk_.groups.at(kGroup);
  for (Index index : places) {
    if (group.entries.contains(index)) group.damaged.insert(index);
  }
}

void SimStore::Lose() {
  if (running()) Crash();
  log_disk_ = LogDisk();
  engine_ = storage::MemoryEngine();
  condemned_ = false;
  rebuilding_ = false;
}

}  // namespace kvd::sim
