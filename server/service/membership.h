// Carries out membership changes as the operator means them: a new replica is a learner until it
// has caught up, then votes; a replacement happens in one joint change. Lives on the store's loop,
// acts while this store leads.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "raft/host.h"

namespace kvd::service {

struct Promotion {
  ReplicaId learner;
  // Leave in the change that makes the learner vote.
  std::vector<ReplicaId> replaced;
  Duration patience = std::chrono::seconds(60);
  // If not 0, the learner stays one if there are that many voters and none of them leaves for it.
  size_t voters_wanted = 0;
  // Of those replaced only the ones that were not heard from for so long leave.
  Duration silence_min = Duration::zero();
};

class Membership {
 public:
  using Done = std::function<void(absl::Status)>;

  Membership(Loop* loop, raft::Host* host, GroupId group)
      : loop_(loop), host_(host), group_(group) {}

  // Adds `member` as a learner. OK at once if it is a member already.
  void AddLearner(raft::Member member, Done done);
  // Waits until the learner has caught up, then carries the promotion out. DEADLINE_EXCEEDED if it
  // does not catch up within `patience`.
  void Promote(const Promotion& promotion, Done done);
  void Remove(ReplicaId replica, Done done);

  // For how long this leader has not heard from a member; no longer than it leads.
  Duration SilenceOf(ReplicaId replica) const;
  // Whether it has heard from it at all since it leads.
  bool Heard(ReplicaId replica) const;

 private:
  struct Waiting {
    Promotion promotion;
    MonotonicTime deadline;
    Done done;
    std::unique_ptr<Timer> timer;
  };
  raft::MembershipChange ChangeFor(const Promotion& promotion) const;
  void Poll(uint64_t id);
  bool CaughtUp(ReplicaId learner) const;

  Loop* const loop_;
  raft::Host* const host_;
  const GroupId group_;
  uint64_t next_id_ = 1;
  std::map<uint64_t, Waiting> waiting_;
};

}  // namespace kvd::service
