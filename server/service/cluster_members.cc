// Changes of a group's replicas, as operations of the controller's.
#include "absl/strings/str_cat.h"
#include "server/service/cluster_service.h"

namespace kvd::service {
void ClusterService::Change(v1::ChangeMembershipRequest* request,
                            const Answer<v1::ChangeMembershipResponse>& answer) {
  using Request = v1::ChangeMembershipRequest;
  GroupId group = GroupOf(request->group_id());
  internal::v1::StoreRequest wire;
  auto* change = wire.mutable_begin()->mutable_change_replicas();
  change->set_group_id(group.value());
  switch (request->change()) {
    case Request::ADD: change->add_add_stores(request->store_id()); break;
    case Request::REMOVE: change->add_remove_stores(request->store_id()); break;
    case Request::REPLACE:
      change->add_add_stores(request->store_id());
      change->add_remove_stores(request->replaced_store_id());
      break;
    default:
      return answer(absl::InvalidArgumentError(absl::StrCat(
                        "change: ", static_cast<int>(request->change()), " is not known")),
                    nullptr);
  }
  node_->caller().ToLeader(
      shardctrler::kControllerGroup, std::move(wire), milliseconds(3000),
      [this, group, answer](absl::StatusOr<internal::v1::StoreResponse> opened) {
        if (!opened.ok()) return answer(opened.status(), nullptr);
        AwaitOperation(OperationId(opened->begin().operation_id()), group,
                       loop_->Now() + std::chrono::seconds(60), answer);
      },
      /*once=*/true);
}

void ClusterService::AwaitOperation(OperationId id, GroupId group, MonotonicTime deadline,
                                    const Answer<v1::ChangeMembershipResponse>& answer) {
  internal::v1::StoreRequest wire;
  wire.mutable_list_operations()->set_operation_id(id.value());
  node_->caller().ToLeader(
      shardctrler::kControllerGroup, std::move(wire), milliseconds(2000),
      [=, this](absl::StatusOr<internal::v1::StoreResponse> told) {
        std::string phase, trouble;
        if (told.ok() && !told->list_operations().operations().empty()) {
          phase = told->list_operations().operations(0).phase();
          trouble = told->list_operations().operations(0).trouble();
        } else if (!told.ok()) {
          trouble = std::string(told.status().message());
        }
        if (phase == ToString(shardctrler::Phase::kDone)) {
          v1::ChangeMembershipResponse response;
          FillGroup(group, response.mutable_group());
          return answer(absl::OkStatus(), &response);
        }
        if (phase == ToString(shardctrler::Phase::kCancelled)) {
          return answer(
              absl::AbortedError(absl::StrCat("operation ", id.value(), " was cancelled")),
              nullptr);
        }
        if (loop_->Now() >= deadline) {
          return answer(absl::DeadlineExceededError(absl::StrCat(
                            "operation ", id.value(), " goes on, it is not done yet: ", trouble)),
                        nullptr);
        }
        Later([=, this] { AwaitOperation(id, group, deadline, answer); },
              [answer] { answer(absl::UnavailableError("the store is stopping"), nullptr); });
      });
}

}  // namespace kvd::service
