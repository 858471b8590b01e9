// What makes a store one of a cluster, apart from its disks and its network: its groups, its part
// of the controller, what it knows of the others, and how requests find their group. The daemon and
// the simulator put the same around it. Lives on the store's loop.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "client/src/routing.h"
#include "kvd/v1/cluster.pb.h"
#include "server/node/controller_desk.h"
#include "server/node/controller_role.h"
#include "server/node/group_caller.h"
#include "server/node/groups.h"
#include "server/node/importer.h"
#include "server/node/load_report.h"
#include "server/node/node_router.h"
#include "server/node/remote_port.h"
#include "server/service/dispatcher.h"

namespace kvd::node {

struct NodeOptions {
  ClusterId cluster;
  StoreId store;
  std::string address;  // told to others
  uint64_t nonce = 0;   // that it joined with
  uint32_t cores = 1;
  std::map<std::string, std::string> labels;
  Duration report_interval = milliseconds(1000);
  std::function<DiskSpace()> disk_space;  // may be empty
  ControllerOptions controller;
  ImporterOptions importer;
  service::DispatcherOptions dispatcher;
};

class Node {
 public:
  // All given outlive it. `groups` have been opened and not started.
  Node(Loop* loop, raft::Host* host, Groups* groups, StoreCaller* caller,
       service::Forwarder* forwarder, const NodeOptions& options);
  ~Node();

  // What it knew when it ran last: where the others are.
  void Remember(const v1::RoutingResponse& known) { routing_.Take(known); }
  // What to remember: stores and groups, not who owns which keys.
  v1::RoutingResponse Known() const { return routing_.Known(); }
  // After the groups have been started.
  void Start();
  // Before the host ends: nothing is done by itself any more, and nobody asked.
  void Stop();

  // Carries out what another store, or this one, asks for.
  void Handle(wire::StoreRequest request, StoreDone done);

  const client::Routing& routing() const { return routing_; }
  Groups& groups() { return *groups_; }
  service::Dispatcher& dispatcher() { return *dispatcher_; }
  NodeRouter& router() { return *router_; }
  GroupCaller& caller() { return *caller_; }
  const NodeOptions& options() const { return options_; }
  // Null unless there is a replica of the controller's group here.
  ControllerRole* controller() { return controller_.get(); }
  const Importer& importer() const { return *importer_; }
  // A store has said where it is.
  void NoteAddress(StoreId store, const std::string& address) {
    routing_.NoteAddress(store, address, /*itself=*/true);
  }
  // Whether the controller's leader has heard of this store and what it holds.
  bool reported() const { return reported_term_ != 0; }
  // Whether the controller has said that this store is no part of the cluster any more.
  bool removed() const { return removed_; }
  // Whether it has said so of another store.
  bool IsGone(StoreId store) const;

  // The command by which a cluster begins, on its first store.
  void Bootstrap(std::function<void(absl::Status)> done);

  // Told whenever an answer of the controller's was taken in.
  std::function<void()> on_routing;
  // Told once removed() holds, by whoever knew.
  std::function<void()> on_removed;

  // node_recover.cc
  // Makes the replica here its group's only voter: v1::Cluster::RecoverGroup. `done` once that is
  // committed and applied, or with the reason why not.
  void Recover(const v1::RecoverGroupRequest& request, std::function<void(absl::Status)> done);

 private:
  void Tick();
  void Report();
  void OnReported(absl::StatusOr<wire::StoreResponse> answer);
  bool FillReport(wire::ReportRequest* report);
  void TakeAnswer(const wire::ReportResponse& report);
  void HandOver(GroupId group, StoreId to);
  void ReportSoon();
  void NoteRemoved();

  // node_recover.cc
  absl::Status MayRecover(const v1::RecoverGroupRequest& request) const;
  absl::Status CheckGone(const v1::RecoverGroupRequest& request) const;
  void FillMembers(wire::ReportRequest* report) const;
  void AskStanding();

  // node_handle.cc: each answers one kind of request.
  absl::StatusOr<LocalGroup*> Leading(uint64_t group_id);
  absl::Status NotLeader(GroupId group);
  void ShardStep(const wire::ShardStepRequest& request, const StoreDone& done);
  void Pull(const wire::PullRequest& request, const StoreDone& done);
  void Fetch(const wire::FetchRequest& request, const StoreDone& done);
  void CreateReplica(const wire::CreateReplicaRequest& request, const StoreDone& done);
  void RemoveReplica(const wire::RemoveReplicaRequest& request, const StoreDone& done);
  void ChangeReplicas(const wire::ChangeReplicasRequest& request, const StoreDone& done);
  void TakeReport(const wire::ReportRequest& request, const StoreDone& done);
  void AskDesk(const wire::StoreRequest& request, const StoreDone& done);
  void Join(const wire::JoinStoreRequest& request, const StoreDone& done);

  Loop* const loop_;
  raft::Host* const host_;
  Groups* const groups_;
  const NodeOptions options_;
  client::Routing routing_;
  std::unique_ptr<GroupCaller> caller_;
  std::unique_ptr<RemotePort> port_;
  std::unique_ptr<Importer> importer_;
  LoadReport load_report_;
  std::unique_ptr<NodeRouter> router_;
  std::unique_ptr<service::Dispatcher> dispatcher_;
  std::unique_ptr<ControllerRole> controller_;
  std::unique_ptr<ControllerDesk> desk_;
  std::unique_ptr<Timer> tick_;
  MonotonicTime next_report_ = kLongAgo;
  MonotonicTime next_removal_ = kLongAgo;
  bool reporting_ = false;
  bool removed_ = false;
  MonotonicTime next_standing_ = kLongAgo;
  StoreId standing_after_;                      // who was asked last
  uint64_t reported_term_ = 0;                  // of the leader that knows everything; 0: none
  std::map<GroupId, ReplicaId> reported_held_;  // as it was told
  std::map<GroupId, ReplicaId> reporting_held_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace kvd::node
