// Starting: whose data is it, which cluster, which port.
#include <grpcpp/create_channel.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/server_builder.h>
#include <rocksdb/db.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <random>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "proto/check.h"
#include "server/server_parts.h"
#include "server/shard/group_meta.h"

namespace kvd::server {

void Die(const std::string& why) {
  if (absl::StrContains(why, "No space left on device")) {
    spdlog::critical(
        "the disk is full: {}; ending; started again, the store frees its reserve and "
        "serves reads and deletes until there is room",
        why);
    spdlog::shutdown();
    _exit(70);
  }
  spdlog::critical("{}; ending, since what is on the disk can no longer be known", why);
  spdlog::shutdown();
  _exit(70);
}

// So many flushed files wait where compactions are overdue, perhaps because they have no room: then
// what they need is missing for data; and so many where data has to wait for them.
constexpr uint64_t kOverdueFiles = 100;
constexpr uint64_t kLaggingFiles = 150;  // from 200 on RocksDB would hold up the loop
// For joining. A leader may have heard late of an end, or be a new one.
constexpr Duration kJoinFor = std::chrono::seconds(60);
constexpr Duration kTakenBeyondSilence = std::chrono::seconds(8);

storage::CompactionLoad Backlog(const raft::DatabaseLoad& load) {
  bool overdue = load.flushed_files() >= kOverdueFiles;
  return {overdue ? load.pending_compaction_bytes() : 0, load.flushed_files() >= kLaggingFiles};
}

uint64_t RandomId() {
  std::random_device device;
  return ((static_cast<uint64_t>(device()) << 32) | device()) >> 1 | 1;
}

namespace {

// Whether this process was told to end: its signals wait until it has started.
bool ToldToEnd() {
  sigset_t pending;
  sigemptyset(&pending);
  sigpending(&pending);
  return sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1;
}

std::string HostOf(const std::string& address) { return address.substr(0, address.rfind(':')); }

bool IsLoopback(const std::string& address) {
  std::string host = HostOf(address);
  return host == "localhost" || host == "[::1]" || absl::StartsWith(host, "127.");
}

}  // namespace

// Before anything is written: opening the databases on a full disk needs what the reserve holds.
absl::Status Server::Parts::PrepareDisk() {
  disk = std::make_unique<DataDisk>(directory->path(), &compactions);
  marks = storage::ChooseMarks(
      {options.disk_low_water_mb << 20, options.disk_reserve_mb << 20,
       storage::FloorBytes(options.write_buffer_mb << 20, raft::kLogBufferBytes)},
      raft::kLogBufferBytes, disk->SizeBytes());
  uint64_t size = disk->SizeBytes();
  if (size != 0 && size < marks.low_water_bytes + marks.reserve_bytes) {
    std::string why = absl::StrCat(
        "--data-dir ", options.data_dir, " lies on a disk of ", size,
        " bytes: ", marks.low_water_bytes, " that stay free and a reserve of ", marks.reserve_bytes,
        " leave no room for data; a smaller --write-buffer-mb needs less");
    if (directory->identity().state == StoreIdentity::State::kNew)
      return absl::FailedPreconditionError(why);
    spdlog::warn("{}", why);
  }
  if (disk->ReserveBytes() == 0 || disk->FreeBytes() >= marks.low_water_bytes)
    return absl::OkStatus();
  spdlog::warn("only {} bytes of disk are free: the reserve of {} bytes is given back",
               disk->FreeBytes(), disk->ReserveBytes());
  disk->ReleaseReserve();
  return absl::OkStatus();
}

absl::Status Server::Parts::PrepareIdentity() {
  StoreIdentity identity = directory->identity();
  using State = StoreIdentity::State;
  if (identity.state == State::kNew) {
    identity.nonce = RandomId();
    if (directory->HoldsDatabases()) {
      absl::Status begun = BeginAgain("it holds data/ but neither a Raft log nor a KVD file");
      if (!begun.ok()) return begun;
      identity = directory->identity();
    } else if (!options.join.empty()) {
      identity.state = State::kJoining;
    } else if (options.bootstrap || IsLoopback(options.listen)) {
      // A store that lost its disk must never start a second cluster by itself: without --bootstrap
      // only on loopback.
      identity.state = State::kBootstrapping;
      identity.cluster = ClusterId(options.cluster_id != 0 ? options.cluster_id : RandomId());
      identity.store = StoreId(1);
    } else {
      return absl::FailedPreconditionError(
          absl::StrCat("--data-dir ", options.data_dir,
                       " is empty: give --join HOST:PORT to join a cluster, or "
                       "--bootstrap to start a new one"));
    }
    absl::Status saved = directory->Save(identity);
    if (!saved.ok()) return saved;
  }
  if (identity.state == State::kJoining && identity.store == StoreId()) {
    // Whatever is there is of a replica that is lost.
    absl::Status joined = directory->SetAside();
    if (joined.ok()) joined = JoinCluster();
    if (!joined.ok()) return joined;
    identity = directory->identity();
  }
  if (options.cluster_id != 0 && identity.cluster != ClusterId(options.cluster_id)) {
    return absl::FailedPreconditionError(absl::StrCat(
        "--data-dir ", options.data_dir, " belongs to cluster ", identity.cluster.value(),
        ", not to --cluster-id ", options.cluster_id, "; name the right directory or cluster"));
  }
  return absl::OkStatus();
}

// Asks the named stores in turn for a store id. For a minute or more, since a whole cluster may be
// starting at once; a store that lost its log waits for as long as the others have no majority.
absl::Status Server::Parts::JoinCluster() {
  if (seeds.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "--data-dir ", options.data_dir, " was joining a cluster: give --join HOST:PORT again"));
  }
  StoreIdentity identity = directory->identity();
  bool again = identity.lost || identity.rejoins || directory->HoldsLost();
  auto now = [] { return std::chrono::steady_clock::now(); };
  // Who had this address may have ended just now: a leader takes it for gone after that silence.
  auto taken_until = now() + kTakenBeyondSilence + NodeOptionsOf().controller.silence_min;
  auto deadline = std::max(taken_until, now() + kJoinFor);
  std::string last;
  for (size_t i = 0; again || now() < deadline; ++i) {
    if (ToldToEnd()) return absl::CancelledError("told to end while joining");
    const std::string& seed = seeds[i % seeds.size()];
    auto stub = v1::Cluster::NewStub(grpc::CreateChannel(seed, grpc::InsecureChannelCredentials()));
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(5));
    v1::JoinRequest request;
    request.set_address(address);
    request.set_cluster_id(identity.cluster ? identity.cluster.value() : options.cluster_id);
    request.set_join_nonce(identity.nonce);
    request.set_lost_store_id(identity.lost.value());
    node::NodeOptions self = NodeOptionsOf();
    request.set_cores(self.cores);
    for (const auto& [name, value] : self.labels) (*request.mutable_labels())[name] = value;
    v1::JoinResponse response;
    grpc::Status status = stub->Join(&context, request, &response);
    if (status.ok()) {
      identity.cluster = ClusterId(response.cluster_id());
      identity.store = StoreId(response.store_id());
      spdlog::info("joined cluster={} as store={}", identity.cluster.value(),
                   identity.store.value());
      // Where the others are, before anything counts on finding them.
      Peers found{identity.cluster, identity.store, {}, {}};
      for (const auto& store : response.routing().stores())
        found.addresses[StoreId(store.store_id())] = store.address();
      for (const auto& group : response.routing().groups()) {
        if (GroupId(group.group_id()) != shardctrler::kControllerGroup) continue;
        for (const auto& r : group.replicas())
          found.members.push_back({shardctrler::kControllerGroup, ReplicaId(r.replica_id()),
                                   StoreId(r.store_id()), true});
      }
      absl::Status kept = directory->SavePeers(found);
      if (!kept.ok()) return kept;
      peers = std::move(found);
      return directory->Save(identity);
    }
    last = absl::StrCat(seed, ": ", status.error_message());
    bool taken = status.error_code() == grpc::StatusCode::ALREADY_EXISTS;
    if (status.error_code() == grpc::StatusCode::FAILED_PRECONDITION ||
        status.error_code() == grpc::StatusCode::INVALID_ARGUMENT ||
        (taken && now() >= taken_until)) {
      return absl::FailedPreconditionError(absl::StrCat("--join ", last));
    }
    if (i % 10 == 0) spdlog::warn("--join {}; trying again", last);
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
  }
  return absl::UnavailableError(
      absl::StrCat("--join: no store of the cluster let it in in time; last: ", last));
}

absl::Status Server::Parts::OpenStorage() {
  absl::Status log = OpenLog();
  if (!log.ok()) return log;
  absl::Status opened = OpenState();
  if (!opened.ok()) return opened;
  reclaim_worker = std::make_unique<ThreadWorker>();
  worker = std::make_unique<ThreadWorker>();
  verifier = std::make_unique<shard::Verifier>(loop.get(), worker.get(), [this] {
    return std::make_unique<FileCheck>(log_store.get(), engine.get());
  });
  return absl::OkStatus();
}

// And what it holds of the group. DATA_LOSS if that is damaged.
absl::Status Server::Parts::OpenEngine() {
  storage::RocksEngineOptions engine_options;
  engine_options.block_cache_bytes = options.block_cache_mb << 20;
  engine_options.write_buffer_bytes = options.write_buffer_mb << 20;
  // One, and the ten below it that it may overlap, in little more than the reserve.
  engine_options.file_bytes = std::clamp<uint64_t>(marks.reserve_bytes / 8, 4 << 20, 64 << 20);
  engine_options.compaction_room = &compactions;
  engine_options.safe_point = [](const storage::Engine& e, GroupId group) {
    auto bytes = e.GetPersisted(shard::SafePointKey(group));
    if (!bytes.ok()) return Timestamp();
    auto safe_point = shard::DecodeSafePoint(*bytes);
    return safe_point.ok() ? *safe_point : Timestamp();
  };
  engine_options.on_full_disk = Die;
  engine_options.on_failed_write = [](const std::string& what) {
    Die(absl::StrCat("storage: ", what));
  };
  auto opened = storage::RocksEngine::Open(directory->data_path(), engine_options);
  if (!opened.ok()) return opened.status();
  engine = *std::move(opened);
  groups = std::make_unique<node::Groups>(
      engine.get(), GroupOptionsOf(), [this](shard::DataGroup* group) {
        group->on_fatal = [](const absl::Status& status) { Die(std::string(status.message())); };
        group->on_damaged_snapshot = [this] { return KeepOldState(); };
      });
  std::vector<GroupId> ids;
  for (const raft::GroupLog& log : log_store->loaded()) {
    if (log.group != kOwnerRecord && !log.removed) ids.push_back(log.group);
  }
  return groups->Open(ids);
}

shard::DataGroupOptions Server::Parts::GroupOptionsOf() const {
  shard::DataGroupOptions group;
  group.retention = std::chrono::seconds(options.retention_s);
  group.row_cache_bytes = options.row_cache_mb << 20;
  // A few large values must not push out everything else.
  group.row_cache_row_bytes_max = group.row_cache_bytes / 64;
  group.read_mode =
      options.read_mode == "lease" ? raft::ReadMode::kLease : raft::ReadMode::kReadIndex;
  return group;
}

node::NodeOptions Server::Parts::NodeOptionsOf() const {
  const StoreIdentity& identity = directory->identity();
  node::NodeOptions node;
  node.cluster = identity.cluster;
  node.store = identity.store;
  node.address = address;
  node.nonce = identity.nonce;
  node.cores = static_cast<uint32_t>(
      options.cores != 0 ? options.cores : std::max(1U, std::thread::hardware_concurrency()));
  for (const std::string& label : options.labels) {
    size_t equals = label.find('=');
    node.labels[label.substr(0, equals)] = label.substr(equals + 1);
  }
  node.disk_space = [this] {
    bool low = disk_watch != nullptr && disk_watch->guard().state() != DiskState::kOk;
    return node::DiskSpace{disk->FreeBytes(), disk->SizeBytes(), low};
  };
  node.controller.silence_min =
      std::max<Duration>(std::chrono::seconds(2), 2 * milliseconds(options.election_timeout_ms));
  return node;
}

// On the loop, before anything is served.
absl::Status Server::Parts::StartGroups() {
  auto logs = log_store->Load();
  if (!logs.ok()) return logs.status();
  StoreIdentity identity = directory->identity();
  bool owned = false;
  std::erase_if(*logs, [&](const raft::GroupLog& log) {
    owned = owned || log.group == kOwnerRecord;
    return log.group == kOwnerRecord;
  });
  if (!owned) {
    KVD_CHECK(identity.state != StoreIdentity::State::kReady && logs->empty());  // OpenLog
    std::vector<raft::LogWrite> writes(1);
    writes[0].group = kOwnerRecord;
    writes[0].replica = ReplicaId(identity.store.value());
    writes[0].reset = raft::SnapshotMeta();
    writes[0].hard_state = raft::HardState();
    if (identity.state == StoreIdentity::State::kBootstrapping) {
      raft::GroupLog log;
      log.group = shardctrler::kControllerGroup;
      log.replica = ReplicaId(1);
      log.start.configuration.voters = {{log.replica, identity.store}};
      raft::LogWrite write;
      write.group = log.group;
      write.replica = log.replica;
      write.reset = log.start;
      write.hard_state = raft::HardState();
      writes.push_back(std::move(write));
      logs->push_back(std::move(log));
      absl::Status opened = groups->Open({shardctrler::kControllerGroup});
      if (!opened.ok()) return opened;
    }
    log_store->WriteNow(writes);
  }
  disk->backlog = [this] {
    storage::CompactionLoad data = Backlog(engine->load()), log = Backlog(log_store->load());
    return storage::CompactionLoad{data.bytes + log.bytes, data.lags || log.lags};
  };
  disk_watch = std::make_unique<shard::DiskWatch>(
      loop.get(), host, disk.get(), marks,
      [this](bool low) { low ? reclaimer->Want() : reclaimer->Rest(); });
  absl::Status started = groups->Start(
      {loop.get(), host, verifier.get(), rebuilder.get(), &disk_watch->guard()}, *std::move(logs));
  if (!started.ok() || identity.state != StoreIdentity::State::kJoining) return started;
  identity.state = StoreIdentity::State::kReady;
  return directory->Save(identity);
}

std::unique_ptr<grpc::ServerCompletionQueue> Server::Parts::PrepareListener() {
  // Its threads would poll the loop's connections; ours runs on the loop.
  grpc::EnableDefaultHealthCheckService(false);
  builder = std::make_unique<grpc::ServerBuilder>();
  ApplyLimits(*builder);
  auto owned = builder->AddCompletionQueue();
  queue = owned.get();
  return owned;
}

absl::Status Server::Parts::Listen() {
  builder->RegisterService(kv->service());
  builder->RegisterService(cluster->service());
  builder->RegisterService(controller->service());
  builder->RegisterService(store_service->service());
  builder->RegisterService(raft_service->service());
  builder->RegisterService(health->service());
  builder->RegisterService(reflection->service());
  auto bound = Listener::Bind(options.listen);
  if (!bound.ok()) {
    return absl::UnavailableError(absl::StrCat("--listen ", options.listen,
                                               " can't be used: ", bound.status().message(),
                                               "; stop what uses it or name another port"));
  }
  listener = *std::move(bound);
  listener->AddTo(*builder);
  grpc_server = builder->BuildAndStart();
  builder.reset();
  if (grpc_server == nullptr) return absl::InternalError("the gRPC server can't be started");
  listener->Start();
  if (http_address.empty()) return absl::OkStatus();
  auto started = service::HttpServer::Start(
      http_address,
      {{"/metrics",
        [this] {
          return service::HttpServer::Response{200, "text/plain; version=0.0.4", RenderMetrics()};
        }},
       {"/healthz", [this] {
          return healthy ? service::HttpServer::Response{200, "text/plain", "serving\n"}
                         : service::HttpServer::Response{503, "text/plain", "no leader is known\n"};
        }}});
  if (!started.ok()) {
    return absl::UnavailableError(absl::StrCat("--http-listen ", http_address,
                                               " can't be used: ", WhyNotBound(http_address),
                                               "; name another port, or none"));
  }
  http = *std::move(started);
  return absl::OkStatus();
}

}  // namespace kvd::server
