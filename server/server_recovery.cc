// After a majority was lost for good: what is said of a group that was brought back here, and the
// end of a store that was removed.
#include <spdlog/spdlog.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/server_parts.h"

namespace kvd::server {

// Its replicas are nobody's any more, and could only do harm. What it was told is final.
void Server::Parts::EndRemoved() {
  if (stopping) return;
  spdlog::critical(
      "store={} was removed from the cluster: ending; what it has is out of date and serves "
      "nobody; "
      "empty {} to join as a new store",
      directory->identity().store.value(), options.data_dir);
  spdlog::shutdown();
  _exit(kExitRemoved);
}

void Server::Parts::ReportRecovered(const v1::RecoverGroupRequest& request,
                                    const v1::GroupStatus& group) {
  spdlog::warn(
      "group={} goes on from replica={} alone, term={}, by an operator's word: stores {} are gone "
      "for good, what they acknowledged behind index={} is given up",
      request.group_id(), request.replica_id(), group.term(),
      absl::StrJoin(request.gone_stores(), ","), request.last_index());
}

}  // namespace kvd::server
