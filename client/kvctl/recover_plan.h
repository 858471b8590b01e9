// What is to be done about groups of which a majority is gone: found from what each store that can
// be reached says of its own replicas, which needs no majority of anything. Pure functions.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "client/kvctl/cluster_text.h"

namespace kvd::kvctl {

// A replica of a group without majority, on a store that answers.
struct Survivor {
  uint64_t store = 0;
  std::string address;
  v1::GroupStatus status;
};

struct LostGroup {
  uint64_t group = 0;
  // Best first: the highest (last term, last index). None: all that the group had is lost.
  std::vector<Survivor> survivors;
  // Of the members that the best one knows: their stores that do not answer, and those that do.
  std::vector<uint64_t> gone_stores;
  std::vector<uint64_t> other_stores;
  std::vector<uint64_t> gone_replicas;
  // Those that are gone made a majority by themselves: they may have acknowledged what no survivor
  // has. Else the best one has all that was ever acknowledged.
  bool may_lose = true;
};

struct RecoveryPlan {
  uint64_t cluster = 0;
  std::map<uint64_t, std::string> addresses;    // of stores that answer
  std::map<uint64_t, std::string> unreachable;  // stores that do not, and why
  std::set<uint64_t> removed;                   // stores that some store knows to be removed
  std::map<uint64_t, uint64_t> whole;  // groups with a majority, and who leads; 0: nobody yet
  std::vector<LostGroup> lost;         // the controller's first
  std::vector<std::string> commands;   // in order

  // Null if the group is not lost.
  const LostGroup* Find(uint64_t group) const;
  bool ControllerLost() const { return Find(1) != nullptr; }
  // Of the controller's recovery: stores that hold what is lost, do not answer and are not removed.
  std::vector<uint64_t> ToGiveUp() const;
};

// `groups`: those that are known to exist, perhaps without any replica that can be reached.
RecoveryPlan PlanRecovery(const v1::MembersResponse& members, const StoreAnswers& answers,
                          const std::set<uint64_t>& groups);

// Of one group only, if `group` is not 0.
std::string PlanText(const RecoveryPlan& plan, uint64_t group, bool json);

// "TERM:INDEX" of where a replica's log ends.
std::string PositionText(const v1::GroupStatus& status);

// Empty, or why the group is not to be recovered from that store so.
struct RecoveryChoice {
  uint64_t group = 0;
  uint64_t store = 0;
  std::string at;              // as PositionText
  std::vector<uint64_t> gone;  // of the controller's group
};
absl::Status CheckChoice(const RecoveryPlan& plan, const RecoveryChoice& choice);

}  // namespace kvd::kvctl
