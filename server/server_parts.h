// What a running daemon consists of, in the order in which it depends on each other. Private to the
// server.
#pragma once

#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "client/src/grpc_network.h"
#include "raft/grpc_transport.h"
#include "raft/host_set.h"
#include "raft/rocks_log_store.h"
#include "raft/runtime/thread_worker.h"
#include "server/data_directory.h"
#include "server/data_disk.h"
#include "server/file_check.h"
#include "server/listener.h"
#include "server/node/node.h"
#include "server/reclaimer.h"
#include "server/server.h"
#include "server/service/cluster_service.h"
#include "server/service/controller_service.h"
#include "server/service/health_service.h"
#include "server/service/http_server.h"
#include "server/service/kv_service.h"
#include "server/service/metrics.h"
#include "server/service/reflection_service.h"
#include "server/service/store_service.h"
#include "server/shard/disk_watch.h"
#include "server/storage/rocks_engine.h"

namespace kvd::server {

// In the log store: not a group but whose log it is, by the store's id.
inline constexpr GroupId kOwnerRecord{0};

// Broken local durability: says so and ends; what is on the disk can't be known (design, 4).
[[noreturn]] void Die(const std::string& why);
uint64_t RandomId();
// Exit code of a store that was removed from its cluster: to start it again is of no use.
inline constexpr int kExitRemoved = 78;

struct Server::Parts {
  ServerOptions options;
  std::string address;  // told to others
  std::string http_address;
  std::unique_ptr<DataDirectory> directory;
  storage::CompactionRoom compactions;
  std::unique_ptr<DataDisk> disk;
  storage::DiskMarks marks;
  std::unique_ptr<grpc::ServerBuilder> builder;  // until it has built
  std::unique_ptr<CqLoop> loop;
  std::unique_ptr<raft::RocksLogStore> log_store;
  std::unique_ptr<storage::RocksEngine> engine;
  std::unique_ptr<client::GrpcNetwork> network;
  std::unique_ptr<raft::GrpcTransport> transport;
  std::unique_ptr<raft::HostSet> hosts;
  std::unique_ptr<Reclaimer> reclaimer;
  std::unique_ptr<shard::DiskWatch> disk_watch;
  raft::Host* host = nullptr;  // null once stopped
  std::unique_ptr<ThreadWorker> worker;
  std::unique_ptr<ThreadWorker> reclaim_worker;  // of its own: verifications take minutes
  std::unique_ptr<shard::Verifier> verifier;
  std::unique_ptr<shard::Rebuilder> rebuilder;
  std::unique_ptr<node::Groups> groups;
  std::unique_ptr<service::PipelineForwarder> forwarder;
  std::unique_ptr<service::GrpcStoreCaller> store_caller;
  std::unique_ptr<node::Node> node;
  std::unique_ptr<service::Metrics> metrics;
  std::unique_ptr<service::KvService> kv;
  std::unique_ptr<service::ClusterService> cluster;
  std::unique_ptr<service::ControllerService> controller;
  std::unique_ptr<service::StoreService> store_service;
  std::unique_ptr<raft::GrpcTransportService> raft_service;
  std::unique_ptr<service::HealthService> health;
  std::unique_ptr<service::ReflectionService> reflection;
  std::unique_ptr<grpc::Server> grpc_server;
  std::unique_ptr<Listener> listener;
  grpc::ServerCompletionQueue* queue = nullptr;  // the loop's
  std::unique_ptr<service::HttpServer> http;
  std::unique_ptr<Timer> duty;
  bool bootstrapping = false;  // the command is on its way
  bool stopping = false;
  bool rebuilding = false;  // the state was given up, or is missing
  uint64_t seconds_rebuilding = 0;
  bool old_state_kept = false;  // data.damaged is there
  uint64_t rebuilds = 0;        // ever
  // Who else is in the cluster, as it was saved last; and whom to ask to be let in.
  std::optional<Peers> peers;
  std::vector<std::string> seeds;
  bool holds_lost = false;        // lost/ is there
  bool finishing_rejoin = false;  // it is being removed
  std::map<StoreId, DiskState> reported_disks;
  std::map<GroupId, std::pair<StoreId, Term>> reported_leaders;
  std::atomic<bool> healthy{false};
  std::thread thread;

  // server_start.cc
  absl::Status PrepareDisk();
  absl::Status OpenStorage();
  absl::Status OpenEngine();
  absl::Status JoinCluster();
  absl::Status PrepareIdentity();
  std::unique_ptr<grpc::ServerCompletionQueue> PrepareListener();
  absl::Status Listen();
  absl::Status StartGroups();
  node::NodeOptions NodeOptionsOf() const;
  shard::DataGroupOptions GroupOptionsOf() const;
  // server_rebuild.cc
  absl::Status OpenState();
  void PrepareRebuilder();
  absl::Status KeepOldState();
  void WatchRebuild();                    // on the loop
  void GoOut(const std::string& damage);  // on the loop; does not return
  // server_rejoin.cc
  void LoadPeers();
  absl::Status OpenLog();
  absl::Status BeginAgain(const std::string& why);
  void KeepPeers();
  void RememberPeers();
  void FinishRejoin();
  // server_recovery.cc
  void EndRemoved();  // on the loop
  static void ReportRecovered(const v1::RecoverGroupRequest& request, const v1::GroupStatus& group);
  // server.cc
  void MakeServices();
  // On the loop.
  void Duty();
  void BootstrapState();
  bool Serves() const;
  void ReportDisks();
  void ReportLeaders();
  void CollectMetrics();
  void CollectRaftMetrics();
  // On any thread but the loop's.
  std::string RenderMetrics();
  void CollectGroupMetrics(GroupId group);
  void CollectStateMetrics();
  void CollectDiskMetrics();
  // cluster_metrics.cc
  void CollectClusterMetrics();
  void FillDisk(v1::StatusResponse* out) const;
};

}  // namespace kvd::server
