// Blocking calls of the Cluster service, at whichever of the given stores answers.
#pragma once

#include <grpcpp/client_context.h>

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kvd/v1/cluster.grpc.pb.h"

namespace kvd::client {

class ClusterClient {
 public:
  ClusterClient(std::vector<std::string> addresses, std::chrono::milliseconds deadline)
      : addresses_(std::move(addresses)), deadline_(deadline) {}

  // Of the store at exactly this address.
  absl::StatusOr<v1::StatusResponse> StatusOf(const std::string& address);
  absl::StatusOr<v1::MembersResponse> Members();
  // A group as its leader knows it, or, without one, whoever has a replica; 0: the one that has the
  // first key.
  absl::StatusOr<v1::GroupStatus> Group(uint64_t group = 0);
  absl::StatusOr<v1::ChangeMembershipResponse> Change(const v1::ChangeMembershipRequest& request);
  absl::StatusOr<v1::TransferLeadershipResponse> Transfer(
      const v1::TransferLeadershipRequest& request);
  // Of group 0: the one that has the first key.
  absl::StatusOr<v1::StartVerificationResponse> StartVerification(uint64_t group);
  // Of the store at exactly this address.
  absl::StatusOr<v1::GetVerificationResponse> VerificationOf(
      const std::string& address, const v1::GetVerificationRequest& request);
  // Of the store at exactly this address.
  absl::StatusOr<v1::RecoverGroupResponse> Recover(const std::string& address,
                                                   const v1::RecoverGroupRequest& request);

 private:
  // Tries the addresses in turn until one can be reached; again, until the deadline, while the
  // one that is asked, and so did nothing, does not lead.
  absl::Status Anywhere(
      const std::function<grpc::Status(v1::Cluster::Stub*, grpc::ClientContext*)>& call);

  // For a call to one store that may be down: at most two seconds.
  void SetShortDeadline(grpc::ClientContext* context) const;

  const std::vector<std::string> addresses_;
  const std::chrono::milliseconds deadline_;
};

}  // namespace kvd::client
