// Carries a change of a group's members out, at the group's leader: those to be added become
// learners, catch up, and then become voters in the same joint change in which the others leave
// (design, 7). Asked again it goes on where it is. Lives on the store's loop.
#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "server/shard/data_group.h"

namespace kvd::node {

class ReplicaChange {
 public:
  struct Change {
    OperationId operation;
    std::vector<raft::Member> added;
    std::vector<ReplicaId> removed;
    bool abandon = false;
  };
  // Whether it has been carried out; else it never will be.
  using Done = std::function<void(absl::StatusOr<bool>)>;

  // All given outlive it.
  ReplicaChange(Loop* loop, raft::Host* host, shard::DataGroup* group)
      : loop_(loop), host_(host), group_(group) {}
  // Tells who waits that this replica is no more.
  ~ReplicaChange();

  // Goes on with the change for at most `patience`; ABORTED, with how far it is, if it needs
  // longer. Another change, or the same one asked again, takes the place of the one under way.
  void Run(const Change& change, Duration patience, Done done);

 private:
  void Step();
  // What is to be done next: nothing (wait), or a change of members; or the end.
  absl::StatusOr<bool> Look();
  bool IsCarriedOut() const;
  bool CaughtUp(ReplicaId learner) const;
  void Submit(const raft::MembershipChange& change);
  // No operation up to that one changes members any more.
  void Fence(OperationId upto);
  void Finish(absl::StatusOr<bool> result);

  Loop* const loop_;
  raft::Host* const host_;
  shard::DataGroup* const group_;
  Change change_;
  Done done_;
  MonotonicTime deadline_;
  bool submitted_ = false;  // something is on its way to the log
  bool over_ = false;       // Look has the result
  std::string progress_;
  std::unique_ptr<Timer> timer_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace kvd::node
