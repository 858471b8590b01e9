// The public Cluster service: status, members, leadership, membership, joining, verification.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>

#include "client/src/grpc_network.h"
#include "kvd/v1/cluster.grpc.pb.h"
#include "server/service/admission.h"
#include "server/service/dispatcher.h"
#include "server/service/membership.h"

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
  };

  ClusterService(CqLoop* loop, raft::Host* host, Dispatcher* dispatcher, Membership* membership,
                 Admission* admission, client::GrpcNetwork* network, Options options);

  grpc::Service* service() { return &service_; }
  void Start(grpc::ServerCompletionQueue* queue);
  // Answers what waits and cancels what was passed on.
  void Stop();

 private:
  template <class Request, class Response>
  using Handler = void (ClusterService::*)(Request*,
                                           std::function<void(const absl::Status&, Response*)>);
  template <class Response>
  using Answer = std::function<void(const absl::Status&, Response*)>;

  void Status(v1::StatusRequest* request, const Answer<v1::StatusResponse>& answer);
  void Members(v1::MembersRequest* request, const Answer<v1::MembersResponse>& answer);
  void Health(v1::HealthRequest* request, const Answer<v1::HealthResponse>& answer);
  void Transfer(v1::TransferLeadershipRequest* request,
                const Answer<v1::TransferLeadershipResponse>& answer);
  void Change(v1::ChangeMembershipRequest* request,
              const Answer<v1::ChangeMembershipResponse>& answer);
  void Join(v1::JoinRequest* request, const Answer<v1::JoinResponse>& answer);
  // cluster_verification.cc
  void StartVerification(v1::StartVerificationRequest* request,
                         const Answer<v1::StartVerificationResponse>& answer);
  void GetVerification(v1::GetVerificationRequest* request,
                       const Answer<v1::GetVerificationResponse>& answer);

  void FillGroup(v1::GroupStatus* out) const;
  void AwaitLeader(StoreId wanted, MonotonicTime deadline,
                   const Answer<v1::TransferLeadershipResponse>& answer);
  void AddStore(StoreId store, ReplicaId replaced, bool promote,
                std::function<void(absl::Status)> done);
  // Whether the leader is elsewhere and was asked instead.
  template <class Request, class Response, class Call>
  bool Forwarded(Request* request, const Answer<Response>& answer, Call call);

  CqLoop* const loop_;
  raft::Host* const host_;
  Dispatcher* const dispatcher_;
  shard::DataGroup* const group_;
  Membership* const membership_;
  Admission* const admission_;
  client::GrpcNetwork* const network_;
  const Options options_;
  const MonotonicTime started_;
  v1::Cluster::AsyncService service_;
  grpc::ServerCompletionQueue* queue_ = nullptr;
  bool stopped_ = false;
  struct Awaiting {
    Answer<v1::TransferLeadershipResponse> answer;
    std::unique_ptr<Timer> timer;
  };
  uint64_t next_await_ = 1;
  std::map<uint64_t, Awaiting> awaiting_;
  std::set<grpc::ClientContext*> forwarded_;
};

}  // namespace kvd::service
