// What people and programs ask the controller's leader for, and what they have it do: between the
// public messages and the machine's commands.
#pragma once

#include "kvd/internal/v1/store.pb.h"
#include "server/node/controller_role.h"

namespace kvd::node {

class ControllerDesk {
 public:
  using Done = std::function<void(absl::StatusOr<internal::v1::StoreResponse>)>;

  // Both outlive it.
  ControllerDesk(ControllerRole* role, const shard::DataGroup* group)
      : role_(role), group_(group) {}

  // Whether the request is for the desk.
  static bool Takes(const internal::v1::StoreRequest& request);
  // Requires: Takes(request), and that the role is ready.
  void Handle(const internal::v1::StoreRequest& request, const Done& done);

 private:
  void ListStores(const v1::ListStoresRequest& request, v1::ListStoresResponse* out) const;
  void ListGroups(v1::ListGroupsResponse* out) const;
  void FillLoad(const shardctrler::Shard& shard, v1::QueryResponse::Load* out) const;
  absl::Status Query(const v1::QueryRequest& request, v1::QueryResponse* out) const;
  absl::Status Busiest(const v1::QueryRequest& request, v1::QueryResponse* out) const;
  void AddOperation(OperationId id, const shardctrler::Operation& operation,
                    v1::ListOperationsResponse* out) const;
  absl::Status ListOperations(const v1::ListOperationsRequest& request,
                              v1::ListOperationsResponse* out) const;
  void ListSettings(v1::ListSettingsResponse* out) const;

  // controller_lookup.cc
  absl::Status DescribeShard(const v1::DescribeShardRequest& request,
                             v1::DescribeShardResponse* out) const;
  absl::Status ListConfigs(const v1::ListConfigsRequest& request,
                           v1::ListConfigsResponse* out) const;

  // controller_explain.cc
  absl::Status Explain(const v1::ExplainRequest& request, v1::ExplainResponse* out) const;

  // controller_desk_commands.cc: the command that does it, or why there is none.
  absl::StatusOr<shardctrler::Command> CommandOf(const internal::v1::StoreRequest& request) const;
  absl::StatusOr<shardctrler::Command> Begin(const v1::BeginRequest& request) const;
  absl::Status FillChange(const v1::BeginRequest::ChangeReplicas& change,
                          shardctrler::Operation* operation) const;
  // Begins several; answers once all that are to begin have.
  void Scatter(const v1::ScatterRequest& request, const Done& done);
  absl::StatusOr<shardctrler::Command> Cancel(const v1::CancelRequest& request) const;

  ControllerRole* const role_;
  const shard::DataGroup* const group_;
};

}  // namespace kvd::node
