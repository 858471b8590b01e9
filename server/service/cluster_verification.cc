// Verifications: begun by one log entry, so that every replica hashes its state at the same index.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "server/service/cluster_forward.h"

namespace kvd::service {

void ClusterService::StartVerification(v1::StartVerificationRequest* request,
                                       const Answer<v1::StartVerificationResponse>& answer) {
  GroupId group = GroupOf(request->group_id());
  if (Forwarded(group, request, answer, [](auto* stub, auto* context, const auto& r, auto* queue) {
        return stub->AsyncStartVerification(context, r, queue);
      })) {
    return;
  }
  shard::Command command;
  command.kind = shard::CommandKind::kVerify;
  command.verification = loop_->random().Next() | 1;
  uint64_t id = command.verification;
  node_->groups().Find(group)->group->Submit(
      std::move(command), [this, id, group, answer](absl::StatusOr<shard::CommandResult> result) {
        if (!result.ok()) return answer(result.status(), nullptr);
        v1::StartVerificationResponse response;
        response.set_verification_id(id);
        response.set_index(result->index.value());
        FillGroup(group, response.mutable_group());
        answer(absl::OkStatus(), &response);
      });
}

void ClusterService::GetVerification(v1::GetVerificationRequest* request,
                                     const Answer<v1::GetVerificationResponse>& answer) {
  using Response = v1::GetVerificationResponse;
  Response response;
  GroupId group = GroupOf(request->group_id());
  const node::LocalGroup* local = node_->groups().Find(group);
  if (local == nullptr) {
    return answer(absl::NotFoundError(absl::StrCat("store ", node_->options().store.value(),
                                                   " has no replica of group ", group.value())),
                  nullptr);
  }
  Index applied = local->group->meta().applied.index;
  response.set_store_id(node_->options().store.value());
  response.set_replica_id(host_->core(group).id().value());
  response.set_applied_index(applied.value());
  const shard::Verification* found = options_.verifier->Find(request->verification_id());
  if (found == nullptr) {
    response.set_state(applied < Index(request->index()) ? Response::BEHIND : Response::MISSED);
    return answer(absl::OkStatus(), &response);
  }
  response.set_state(found->done ? Response::DONE : Response::RUNNING);
  response.set_bytes(found->state.bytes + found->storage.bytes);
  response.set_hashed(found->hashed);
  response.set_hash(found->state.hash);
  response.set_keys(found->state.keys);
  response.set_versions(found->state.versions);
  response.set_damaged(found->damaged());
  if (found->state.damaged != 0) response.add_damage(found->state.first_damage);
  for (const std::string& damage : found->storage.damage) response.add_damage(damage);
  answer(absl::OkStatus(), &response);
}

}  // namespace kvd::service
