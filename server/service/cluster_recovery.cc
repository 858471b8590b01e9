// Bringing a group back from the replica here, after a majority is gone for good.
#include "absl/strings/str_cat.h"
#include "server/service/cluster_service.h"

namespace kvd::service {

absl::Status ClusterService::MayRecover(GroupId group) const {
  std::string damage = options_.rebuilder->damage();
  if (!damage.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the state of this store is damaged: ", damage));
  }
  return host_->MayStandAlone(group);
}

void ClusterService::Recover(v1::RecoverGroupRequest* request,
                             const Answer<v1::RecoverGroupResponse>& answer) {
  GroupId group(request->group_id());
  absl::Status may = MayRecover(group);
  // Where there is no replica, the node knows whether there is a group.
  if (!may.ok() && !absl::IsNotFound(may)) return answer(may, nullptr);
  node_->Recover(*request, [this, group, wanted = *request, answer](const absl::Status& status) {
    if (!status.ok()) return answer(status, nullptr);
    v1::RecoverGroupResponse response;
    FillGroup(group, response.mutable_group());
    if (options_.on_recovered) options_.on_recovered(wanted, response.group());
    answer(absl::OkStatus(), &response);
  });
}

}  // namespace kvd::service
