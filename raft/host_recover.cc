// The host's end of bringing a group back from the replica here (Core::StandAlone).
#include "absl/strings/str_cat.h"
#include "proto/check.h"
#include "proto/fault_point.h"
#include "raft/host_group.h"

namespace kvd::raft {

absl::Status Host::MayStandAlone(GroupId id) const {
  const Group* group = Find(id);
  if (group == nullptr) {
    return absl::NotFoundError(absl::StrCat("no replica of group ", id.value(), " here"));
  }
  if (group->installing) return absl::FailedPreconditionError("a snapshot is being installed");
  if (group->halted) return absl::FailedPreconditionError("the replica's state is damaged");
  if (group->membership_done) {
    return absl::FailedPreconditionError("a membership change is under way");
  }
  return group->core->MayStandAlone(loop_->Now());
}

void Host::StandAlone(GroupId id, const AloneRequest& request,
                      std::function<void(absl::Status)> done) {
  absl::Status may = MayStandAlone(id);
  if (!may.ok()) return done(may);
  Group& group = *Find(id);
  if (group.core->id() != request.replica) {
    return done(absl::FailedPreconditionError(absl::StrCat(
        "replica ", group.core->id().value(), " is here, not replica ", request.replica.value())));
  }
  auto index = group.core->StandAlone(loop_->Now(), request.last_index, request.last_term);
  if (!index.ok()) return done(index.status());
  // It leads: what it is given goes into the same write.
  for (const std::string& command : request.commands) {
    index = group.core->Propose(loop_->Now(), command);
    KVD_CHECK(index.ok());
  }
  group.membership_done = std::move(done);
  group.membership_index = *index;
  KVD_FAULT_POINT(kMembershipProposed);
  Schedule(group);
}

}  // namespace kvd::raft
