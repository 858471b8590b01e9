#include "client/src/cluster_client.h"

#include <grpcpp/create_channel.h>

#include <optional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "client/src/grpc_network.h"
#include "proto/error.h"

namespace kvd::client {
namespace {

std::unique_ptr<v1::Cluster::Stub> StubTo(const std::string& address) {
  return v1::Cluster::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
}

}  // namespace

absl::Status ClusterClient::Anywhere(
    const std::function<grpc::Status(v1::Cluster::Stub*, grpc::ClientContext*)>& call) {
  auto end = std::chrono::system_clock::now() + deadline_;
  while (true) {
    absl::Status last;
    bool moves = false;
    for (const std::string& address : addresses_) {
      grpc::ClientContext context;
      context.set_deadline(std::chrono::system_clock::now() + deadline_);
      auto stub = StubTo(address);
      absl::Status status = FromGrpc(call(stub.get(), &context));
      if (!absl::IsUnavailable(status) && !absl::IsDeadlineExceeded(status)) return status;
      moves = moves || InfoOf(status).kind == ErrorKind::kNotLeader;
      last =
          absl::Status(status.code(), absl::StrCat(address, ": ", std::string(status.message())));
    }
    constexpr auto kPause = std::chrono::milliseconds(50);
    if (!moves || std::chrono::system_clock::now() + kPause >= end) return last;
    std::this_thread::sleep_for(kPause);
  }
}

void ClusterClient::SetShortDeadline(grpc::ClientContext* context) const {
  auto most = std::min<std::chrono::milliseconds>(deadline_, std::chrono::seconds(2));
  context->set_deadline(std::chrono::system_clock::now() + most);
}

absl::StatusOr<v1::StatusResponse> ClusterClient::StatusOf(const std::string& address) {
  grpc::ClientContext context;
  SetShortDeadline(&context);
  v1::StatusResponse response;
  absl::Status status = FromGrpc(StubTo(address)->Status(&context, v1::StatusRequest(), &response));
  if (!status.ok()) return status;
  return response;
}

absl::StatusOr<v1::MembersResponse> ClusterClient::Members() {
  v1::MembersResponse response;
  absl::Status status = Anywhere([&](auto* stub, auto* context) {
    return stub->Members(context, v1::MembersRequest(), &response);
  });
  if (!status.ok()) return status;
  return response;
}

absl::StatusOr<v1::GroupStatus> ClusterClient::Group(uint64_t group) {
  auto members = Members();
  if (!members.ok()) return members.status();
  std::optional<v1::GroupStatus> best;
  absl::Status last = absl::NotFoundError(absl::StrCat("no store has a replica of group ", group));
  for (const auto& store : members->stores()) {
    auto status = StatusOf(store.address());
    if (!status.ok()) {
      last = status.status();
      continue;
    }
    for (v1::GroupStatus& found : *status->mutable_groups()) {
      bool first = !found.shards().empty() && found.shards(0).range().start().empty() &&
                   found.shards(0).state() == v1::ShardDescriptor::SERVING;
      if (group != 0 ? found.group_id() != group : !first) continue;
      bool leads = found.role() == v1::GroupStatus::LEADER;
      bool led = best && best->role() == v1::GroupStatus::LEADER;
      if (!best || (leads && !led) || (leads == led && found.term() > best->term()))
        best = std::move(found);
    }
  }
  if (!best) return last;
  return *std::move(best);
}

absl::StatusOr<v1::ChangeMembershipResponse> ClusterClient::Change(
    const v1::ChangeMembershipRequest& request) {
  v1::ChangeMembershipResponse response;
  absl::Status status = Anywhere([&](auto* stub, auto* context) {
    return stub->ChangeMembership(context, request, &response);
  });
  if (!status.ok()) return status;
  return response;
}

absl::StatusOr<v1::TransferLeadershipResponse> ClusterClient::Transfer(
    const v1::TransferLeadershipRequest& request) {
  v1::TransferLeadershipResponse response;
  absl::Status status = Anywhere([&](auto* stub, auto* context) {
    return stub->TransferLeadership(context, request, &response);
  });
  if (!status.ok()) return status;
  return response;
}

absl::StatusOr<v1::StartVerificationResponse> ClusterClient::StartVerification(uint64_t group) {
  v1::StartVerificationRequest request;
  request.set_group_id(group);
  v1::StartVerificationResponse response;
  absl::Status status = Anywhere([&](auto* stub, auto* context) {
    return stub->StartVerification(context, request, &response);
  });
  if (!status.ok()) return status;
  return response;
}

absl::StatusOr<v1::GetVerificationResponse> ClusterClient::VerificationOf(
    const std::string& address, const v1::GetVerificationRequest& request) {
  grpc::ClientContext context;
  SetShortDeadline(&context);
  v1::GetVerificationResponse response;
  absl::Status status = FromGrpc(StubTo(address)->GetVerification(&context, request, &response));
  if (!status.ok()) return status;
  return response;
}

absl::StatusOr<v1::RecoverGroupResponse> ClusterClient::Recover(
    const std::string& address, const v1::RecoverGroupRequest& request) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + deadline_);
  v1::RecoverGroupResponse response;
  absl::Status status = FromGrpc(StubTo(address)->RecoverGroup(&context, request, &response));
  if (!status.ok()) return status;
  return response;
}

}  // namespace kvd::client
