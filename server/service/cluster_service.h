// The public Cluster service: status, members, leadership, membership, joining, verification.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>

#include "client/src/grpc_network.h"
#include "kvd/v1/cluster.grpc.pb.h"
#include "server/node/node.h"

namespace kvd::service {

class ClusterService {
 public:
  struct Options {
    std::string version;
    std::function<uint64_t()> data_bytes;
    std::function<uint64_t()> log_bytes;
    // Both outlive the service.
    const shard::Verifier* verifier = nullptr;
    const shard::Rebuilder* rebuilder = nullptr;
    std::function<void(v1::StatusResponse*)> fill_disk;
    // Told of a group that was brought back from the replica here.
    std::function<void(const v1::RecoverGroupRequest&, const v1::GroupStatus&)> on_recovered;
  };

  ClusterService(CqLoop* loop, raft::Host* host, node::Node* node, client::GrpcNetwork* network,
                 Options options);

  grpc::Service* service() { return &service_; }
  void Start(grpc::ServerCompletionQueue* queue);
  // Answers what waits and cancels what was passed on.
  void Stop();

 private:
  template <class Response>
  using Answer = std::function<void(const absl::Status&, Response*)>;

  void Status(v1::StatusRequest* request, const Answer<v1::StatusResponse>& answer);
  void Members(v1::MembersRequest* request, const Answer<v1::MembersResponse>& answer);
  void Health(v1::HealthRequest* request, const Answer<v1::HealthResponse>& answer);
  void Transfer(v1::TransferLeadershipRequest* request,
                const Answer<v1::TransferLeadershipResponse>& answer);
  void Join(v1::JoinRequest* request, const Answer<v1::JoinResponse>& answer);
  // cluster_members.cc
  void Change(v1::ChangeMembershipRequest* request,
              const Answer<v1::ChangeMembershipResponse>& answer);
  void AwaitOperation(OperationId id, GroupId group, MonotonicTime deadline,
                      const Answer<v1::ChangeMembershipResponse>& answer);
  // cluster_verification.cc
  void StartVerification(v1::StartVerificationRequest* request,
                         const Answer<v1::StartVerificationResponse>& answer);
  void GetVerification(v1::GetVerificationRequest* request,
                       const Answer<v1::GetVerificationResponse>& answer);

  // cluster_recovery.cc
  void Recover(v1::RecoverGroupRequest* request, const Answer<v1::RecoverGroupResponse>& answer);
  // Why a group can't be brought back from the replica here; OK if it can.
  absl::Status MayRecover(GroupId group) const;

  // The group that a request names, or the one that has the first key; 0: none is known.
  GroupId GroupOf(uint64_t group_id) const;
  void FillGroup(GroupId group, v1::GroupStatus* out) const;
  void FillGroups(google::protobuf::RepeatedPtrField<v1::GroupStatus>* out) const;
  void AwaitLeader(GroupId group, StoreId wanted, MonotonicTime deadline,
                   const Answer<v1::TransferLeadershipResponse>& answer);
  // Runs `then` after a while, unless the service stops before: then `stopped`.
  void Later(std::function<void()> then, std::function<void()> stopped);
  // Whether the group's leader is elsewhere and was asked instead.
  template <class Request, class Response, class Call>
  bool Forwarded(GroupId group, Request* request, const Answer<Response>& answer, Call call);

  CqLoop* const loop_;
  raft::Host* const host_;
  node::Node* const node_;
  client::GrpcNetwork* const network_;
  const Options options_;
  const MonotonicTime started_;
  v1::Cluster::AsyncService service_;
  grpc::ServerCompletionQueue* queue_ = nullptr;
  bool stopped_ = false;
  struct Waiting {
    std::function<void()> stopped;
    std::unique_ptr<Timer> timer;
  };
  uint64_t next_waiting_ = 1;
  std::map<uint64_t, Waiting> waiting_;
  std::set<grpc::ClientContext*> forwarded_;
};

}  // namespace kvd::service
