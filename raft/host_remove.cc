// The host's end of a group's replica: removed for good, with a tombstone in the log store.
#include "proto/error.h"
#include "raft/host_group.h"

namespace kvd::raft {

void Host::RemoveGroup(GroupId id, ReplicaId replica, Task done) {
  auto node = groups_.extract(id);
  if (!node.empty()) {
    Group& group = *node.mapped();
    FailProposals(group);
    FailReads(group);
    for (auto& [read_id, read] : group.index_reads) read(NotLeaderError(id, StoreId(), ""));
    group.senders.clear();
    if (group.membership_done) {
      group.membership_done(OutcomeUnknownError("the replica that led was removed"));
    }
  }
  LogWrite write;
  write.group = id;
  write.replica = replica;
  write.reset = SnapshotMeta();
  write.hard_state = HardState();
  write.removed = true;
  InFlightWrite flight;
  flight.then.push_back(std::move(done));
  std::vector<LogWrite> writes;
  writes.push_back(std::move(write));
  SubmitWrite(std::move(writes), std::move(flight));
}

}  // namespace kvd::raft
