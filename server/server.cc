#include "server/server.h"

#include <spdlog/spdlog.h>

#include <filesystem>
#include <future>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "server/server_parts.h"

namespace kvd::server {
namespace {

constexpr const char* kVersion = "0.1.0";

// Empty, or why `address` is no host:port.
std::string CheckAddress(const std::string& flag, const std::string& address) {
  size_t colon = address.rfind(':');
  uint64_t port = 0;
  if (colon == std::string::npos || colon == 0 ||
      !absl::SimpleAtoi(address.substr(colon + 1), &port) || port < 1 || port > 65535) {
    return absl::StrCat(flag, " ", address, " is not HOST:PORT with a port from 1 to 65535");
  }
  return "";
}

std::string CheckNumber(const char* flag, uint64_t value, uint64_t low, uint64_t high) {
  if (value >= low && value <= high) return "";
  return absl::StrCat(flag, " ", value, " is out of range: ", low, " to ", high);
}

std::string CheckLabel(const std::string& label) {
  size_t equals = label.find('=');
  if (equals != std::string::npos && equals > 0 && equals <= shardctrler::kLabelBytesMax &&
      label.size() - equals - 1 <= shardctrler::kLabelBytesMax)
    return "";
  return absl::StrCat("--label ", label, " is not NAME=VALUE of at most ",
                      shardctrler::kLabelBytesMax, " bytes each");
}

// What buffers and the log may have yet to write must fit below the mark, and in the reserve.
std::string CheckDiskMarks(const ServerOptions& o) {
  auto mb_up = [](uint64_t bytes) { return (bytes + (1 << 20) - 1) >> 20; };
  uint64_t floor = storage::FloorBytes(o.write_buffer_mb << 20, raft::kLogBufferBytes);
  uint64_t low_min = mb_up(floor);
  uint64_t reserve_min = mb_up(storage::ReserveBytesMin(floor, raft::kLogBufferBytes));
  auto check = [&o](const char* flag, uint64_t value, uint64_t least) {
    if (value == 0 || value >= least) return std::string();
    return absl::StrCat(flag, " ", value, " is less than --write-buffer-mb ", o.write_buffer_mb,
                        " and the log may have yet to write: at least ", least,
                        ", or 0 to leave it to the store");
  };
  std::string problem = check("--disk-low-water-mb", o.disk_low_water_mb, low_min);
  return problem.empty() ? check("--disk-reserve-mb", o.disk_reserve_mb, reserve_min) : problem;
}

uint64_t DirectoryBytes(const std::string& path) {
  uint64_t bytes = 0;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(path, error)) {
    // Files come and go meanwhile; what has gone counts nothing.
    std::error_code gone;
    uint64_t size = entry.is_regular_file(gone) ? entry.file_size(gone) : 0;
    if (!gone) bytes += size;
  }
  return bytes;
}

// The HTTP port that belongs to a listen address: the next one.
std::string HttpAddress(const ServerOptions& options) {
  if (options.http_listen == "none") return "";
  if (!options.http_listen.empty()) return options.http_listen;
  size_t colon = options.listen.rfind(':');
  uint64_t port = 0;
  (void)absl::SimpleAtoi(options.listen.substr(colon + 1), &port);
  return absl::StrCat(options.listen.substr(0, colon + 1), port + 1);
}

// Without the store's id, which is known later.
raft::HostOptions HostOptionsOf(const ServerOptions& options) {
  raft::HostOptions host;
  host.core.election_timeout_min = milliseconds(options.election_timeout_ms);
  host.core.heartbeat_interval = milliseconds(options.heartbeat_ms);
  host.core.lease_duration = milliseconds(options.election_timeout_ms * 9 / 10);
  host.core.rounds.bytes_max = 256 << 10;
  host.core.cache_bytes_max = 8 << 20;
  host.tick_interval = milliseconds(std::max<uint64_t>(options.heartbeat_ms / 5, 2));
  host.log_bytes_kept = options.log_keep_mb << 20;
  return host;
}

}  // namespace

std::string Validate(const ServerOptions& o) {
  std::vector<std::string> problems = {
      CheckAddress("--listen", o.listen),
      o.advertise.empty() ? "" : CheckAddress("--advertise", o.advertise),
      o.http_listen.empty() || o.http_listen == "none"
          ? ""
          : CheckAddress("--http-listen", o.http_listen),
      CheckNumber("--heartbeat-ms", o.heartbeat_ms, 10, 10'000),
      CheckNumber("--election-timeout-ms", o.election_timeout_ms, 3 * o.heartbeat_ms, 60'000),
      CheckNumber("--retention-s", o.retention_s, 1, uint64_t{365} * 24 * 3600),
      CheckNumber("--block-cache-mb", o.block_cache_mb, 1, 1 << 20),
      CheckNumber("--row-cache-mb", o.row_cache_mb, 0, 1 << 20),
      CheckNumber("--write-buffer-mb", o.write_buffer_mb, 1, 1 << 14),
      CheckNumber("--log-keep-mb", o.log_keep_mb, 1, 1 << 20),
      CheckNumber("--cores", o.cores, 0, shardctrler::kCoresMax),
      CheckNumber("--disk-low-water-mb", o.disk_low_water_mb, 0, 1 << 20),
      CheckNumber("--disk-reserve-mb", o.disk_reserve_mb, 0, 1 << 20),
      CheckDiskMarks(o),
  };
  for (const std::string& label : o.labels) problems.push_back(CheckLabel(label));
  for (const std::string& seed : o.join) problems.push_back(CheckAddress("--join", seed));
  if (o.read_mode != "lease" && o.read_mode != "read-index") {
    problems.push_back(
        absl::StrCat("--read-mode ", o.read_mode, " is not one of: lease, read-index"));
  }
  if (o.bootstrap && !o.join.empty()) {
    problems.push_back("--bootstrap and --join exclude each other: start a cluster or join one");
  }
  if (o.listen.rfind("0.0.0.0:", 0) == 0 && o.advertise.empty()) {
    problems.push_back(
        "--listen 0.0.0.0 needs --advertise HOST:PORT, the address others reach it at");
  }
  for (const std::string& problem : problems) {
    if (!problem.empty()) return problem;
  }
  return "";
}

void Server::Parts::MakeServices() {
  metrics = std::make_unique<service::Metrics>();
  kv = std::make_unique<service::KvService>(loop.get(), &node->dispatcher(), network.get(),
                                            metrics.get());
  controller = std::make_unique<service::ControllerService>(node.get());
  store_service = std::make_unique<service::StoreService>(node.get());
  cluster = std::make_unique<service::ClusterService>(
      loop.get(), host, node.get(), network.get(),
      service::ClusterService::Options{
          kVersion, [this] { return DirectoryBytes(directory->data_path()); },
          [this] { return DirectoryBytes(directory->raft_path()); }, verifier.get(),
          rebuilder.get(), [this](v1::StatusResponse* out) { FillDisk(out); },
          [](const auto& request, const auto& group) { ReportRecovered(request, group); }});
  transport->set_handler(hosts.get());
  raft_service = std::make_unique<raft::GrpcTransportService>(
      loop.get(), transport.get(), hosts.get(),
      [this](StoreId store, const std::string& address) { node->NoteAddress(store, address); });
  health = std::make_unique<service::HealthService>(
      std::set<std::string>{"kvd.v1.Kv", "kvd.v1.Cluster", "kvd.v1.Controller"});
  reflection = std::make_unique<service::ReflectionService>(std::vector<std::string>{
      "kvd.v1.Kv", "kvd.v1.Cluster", "kvd.v1.Controller", "grpc.health.v1.Health",
      "grpc.reflection.v1alpha.ServerReflection"});
}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerOptions& options) {
  std::string problem = Validate(options);
  if (!problem.empty()) return absl::InvalidArgumentError(problem);
  auto parts = std::make_unique<Parts>();
  Parts& p = *parts;
  p.options = options;
  p.address = options.advertise.empty() ? options.listen : options.advertise;
  p.http_address = HttpAddress(options);
  auto directory = DataDirectory::Open(options.data_dir);
  if (!directory.ok()) return directory.status();
  p.directory = *std::move(directory);
  absl::Status status = p.PrepareDisk();
  if (!status.ok()) return status;
  p.LoadPeers();
  status = p.PrepareIdentity();
  if (!status.ok()) return status;
  p.loop = std::make_unique<CqLoop>(p.PrepareListener());
  status = p.OpenStorage();
  if (!status.ok()) return status;
  p.holds_lost = p.directory->HoldsLost();

  const StoreIdentity& identity = p.directory->identity();
  p.network = std::make_unique<client::GrpcNetwork>(p.loop.get(), /*sealed=*/true);
  raft::GrpcTransportOptions transport{identity.cluster, identity.store, p.address};
  p.transport = std::make_unique<raft::GrpcTransport>(
      p.loop.get(), transport, [&p](StoreId store) { return p.node->routing().AddressOf(store); });
  p.transport->set_is_removed([&p](StoreId store) { return p.node->IsGone(store); });
  raft::HostOptions host = HostOptionsOf(options);
  host.store = identity.store;
  p.hosts = std::make_unique<raft::HostSet>(std::vector<Loop*>{p.loop.get()}, p.log_store.get(),
                                            p.transport.get(), host);
  p.host = p.hosts->HostOf(shardctrler::kControllerGroup);
  p.host->on_unrepairable = [](GroupId group, Index index) {
    spdlog::critical(
        "entry {} of group {} is damaged here, may have been committed, and no replica can give "
        "it: this one neither votes nor serves; restore a copy of it, or the data from a backup",
        index.value(), group.value());
  };
  p.PrepareRebuilder();
  p.reclaimer = std::make_unique<Reclaimer>(p.loop.get(), p.reclaim_worker.get(), p.log_store.get(),
                                            p.engine.get(), p.disk.get(), p.marks.floor_bytes);
  p.forwarder = std::make_unique<service::PipelineForwarder>(p.network.get());
  p.store_caller = std::make_unique<service::GrpcStoreCaller>(p.loop.get(), p.network.get());
  p.node = std::make_unique<node::Node>(p.loop.get(), p.host, p.groups.get(), p.store_caller.get(),
                                        p.forwarder.get(), p.NodeOptionsOf());
  p.node->on_removed = [&p] { p.EndRemoved(); };
  p.RememberPeers();
  p.MakeServices();
  status = p.Listen();
  if (!status.ok()) return status;
  std::promise<absl::Status> started;
  p.loop->Post([&p, &started] {
    absl::Status status = p.StartGroups();
    if (status.ok()) {
      p.node->Start();
      p.controller->Start(p.queue);
      p.store_service->Start(p.queue);
      p.kv->Start(p.queue);
      p.cluster->Start(p.queue);
      p.raft_service->Start(p.queue);
      p.health->Start(p.queue);
      p.reflection->Start(p.queue);
      p.Duty();
    }
    started.set_value(status);
  });
  p.thread = std::thread([&p] { p.loop->Run(); });
  status = started.get_future().get();
  std::unique_ptr<Server> server(new Server(std::move(parts)));
  if (!status.ok()) return status;
  spdlog::info("serving address={} http={} store={} cluster={} data_dir={}", p.address,
               p.http_address.empty() ? "none" : p.http_address, identity.store.value(),
               identity.cluster.value(), options.data_dir);
  return server;
}

Server::Server(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
const std::string& Server::address() const { return parts_->address; }
const std::string& Server::http_address() const { return parts_->http_address; }

Server::~Server() { Stop(); }

// Leadership goes first, so that the others need no election; then what is still asked is answered;
// then storage is flushed, so that the next start replays nothing.
void Server::Stop() {
  Parts& p = *parts_;
  if (!p.thread.joinable()) return;
  p.http.reset();
  auto on_loop = [&p](auto f) {
    std::promise<void> done;
    p.loop->Post([&] {
      f();
      done.set_value();
    });
    done.get_future().wait();
  };
  on_loop([&p] {
    p.stopping = true;
    for (GroupId group : p.host->groups()) (void)p.host->HandOver(group);
  });
  for (int i = 0; i < 100; ++i) {
    bool leads = false;
    on_loop([&] {
      for (GroupId group : p.host->groups()) {
        const raft::Core& core = p.host->core(group);
        leads = leads || (core.IsLeader() && !core.progress().empty());
      }
    });
    if (!leads) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  on_loop([&p] {
    p.duty.reset();
    p.kv->Stop();
    p.cluster->Stop();
    p.controller->Stop();
    p.store_service->Stop();
    p.raft_service->Stop();
    p.health->Stop();
    p.reflection->Stop();
    p.transport->Stop();
    p.network->Stop();
    p.store_caller->Stop();
    p.node->Stop();
    p.groups->Detach();
    p.disk_watch.reset();
    p.reclaimer.reset();
    p.rebuilder->Stop();
    p.hosts->Stop(0);  // answers what is still waiting
    p.host = nullptr;
  });
  p.listener->Stop();
  p.grpc_server->Shutdown(std::chrono::system_clock::now() + std::chrono::milliseconds(300));
  p.loop->Stop();
  p.thread.join();
  p.loop->Drain();
  // A compaction that was asked for may have minutes before it.
  CancelCompactions(p.log_store.get(), p.engine.get());
  // Their jobs use both databases.
  p.worker->Stop();
  p.reclaim_worker->Stop();
  if (p.engine) (void)p.engine->Flush();
  p.log_store.reset();
  p.groups.reset();
  p.engine.reset();
  p.directory.reset();
  spdlog::info("stopped");
}

// Once a second: what a store sees to by itself.
void Server::Parts::Duty() {
  auto ran = std::make_shared<std::unique_ptr<Timer>>(std::move(duty));
  loop->Post([ran] {});
  bool fresh = directory->identity().state == StoreIdentity::State::kBootstrapping;
  duty = loop->After(fresh ? milliseconds(10) : UntilNext(loop->Now(), milliseconds(1000)),
                     [this] { Duty(); });
  if (stopping) return;
  healthy = Serves();
  health->SetServing(healthy);
  // The only voter need not wait for anybody.
  for (GroupId group : host->groups()) {
    const raft::Core& core = host->core(group);
    bool alone = core.configuration().voters.size() == 1 && core.configuration().IsVoter(core.id());
    if (alone && !core.IsLeader()) host->Campaign(group);
  }
  WatchRebuild();
  BootstrapState();
  KeepPeers();
  FinishRejoin();
  ReportDisks();
  ReportLeaders();
}

// Whether requests can be answered here or passed on: it knows who owns what, and each group here
// has a leader and a state.
bool Server::Parts::Serves() const {
  if (node->routing().shards().empty()) return false;
  for (GroupId group : host->groups()) {
    const raft::Core& core = host->core(group);
    if (!core.leader() || core.NeedsState()) return false;
  }
  return true;
}

// Once a second, however often a state may have come and gone.
void Server::Parts::ReportDisks() {
  for (const auto& [store, record] : node->routing().stores()) {
    if (record.gone) continue;
    DiskState state = host->DiskOf(store);
    if (std::exchange(reported_disks[store], state) == state) continue;
    if (store != directory->identity().store) {
      spdlog::warn("disk of store={} state={}", store.value(), ToString(state));
      continue;
    }
    const storage::DiskGuard& guard = disk_watch->guard();
    spdlog::warn(
        "disk state={} free_bytes={} reserve_bytes={}; writes that add data need free_bytes={}",
        ToString(state), guard.free_bytes(), disk->ReserveBytes(), guard.needed_bytes());
  }
}

// Once a second as well: elections in between show in the term.
void Server::Parts::ReportLeaders() {
  std::erase_if(reported_leaders, [this](const auto& item) { return !host->Has(item.first); });
  for (GroupId group : host->groups()) {
    std::pair<StoreId, Term> now(host->LeaderStore(group), host->core(group).term());
    auto known = reported_leaders.find(group);
    if (known != reported_leaders.end() && known->second == now) continue;
    reported_leaders[group] = now;
    spdlog::info("group={} leader={} term={}", group.value(),
                 now.first ? absl::StrCat("store ", now.first.value()) : "unknown",
                 now.second.value());
  }
}

void Server::Parts::BootstrapState() {
  StoreIdentity identity = directory->identity();
  if (identity.state != StoreIdentity::State::kBootstrapping) return;
  if (!node->routing().shards().empty()) {
    identity.state = StoreIdentity::State::kReady;
    absl::Status saved = directory->Save(identity);
    if (!saved.ok()) spdlog::error("{}", std::string(saved.message()));
    return;
  }
  if (bootstrapping || node->controller() == nullptr || !node->controller()->ready()) return;
  // Done before the process ended last.
  if (node->controller()->state().ids().cluster) return;
  bootstrapping = true;
  node->Bootstrap([this](const absl::Status& status) {
    bootstrapping = false;
    if (status.ok()) spdlog::info("bootstrapped cluster={}", directory->identity().cluster.value());
  });
}

}  // namespace kvd::server
