// Carries out membership changes as the operator means them: a new replica is a learner until it has
// caught up, then votes; a replacement happens in one joint change. Lives on the store's loop, acts
// while this store leads.
#pragma once

#include <functional>
#include <map>
#include <memory>

#include "raft/host.h"

namespace kvd::service {

class Membership {
 public:
  using Done = std::function<void(absl::Status)>;

  Membership(Loop* loop, raft::Host* host, GroupId group)
      : loop_(loop), host_(host), group_(group) {}

  // Adds `member` as a learner. OK at once if it is a member already.
  void AddLearner(raft::Member member, Done done);
  // Waits until the learner has caught up, then makes it a voter, and in the same change removes
  // `replaced` if that is not 0. DEADLINE_EXCEEDED if it does not catch up within `patience`.
  // With `voters_wanted` not 0 it stays a learner if there are that many voters by then.
  void Promote(ReplicaId learner, ReplicaId replaced, Duration patience, Done done,
               size_t voters_wanted = 0);
  void Remove(ReplicaId replica, Done done);

 private:
  struct Waiting {
    ReplicaId learner;
    ReplicaId replaced;
    MonotonicTime deadline;
    Done done;
    size_t voters_wanted = 0;
    std::unique_ptr<Timer> timer;
  };
  void Poll(uint64_t id);
  bool CaughtUp(ReplicaId learner) const;

  Loop* const loop_;
  raft::Host* const host_;
  const GroupId group_;
  uint64_t next_id_ = 1;
  std::map<uint64_t, Waiting> waiting_;
};

}  // namespace kvd::service
