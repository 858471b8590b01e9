// Majorities of plain and joint configurations. Pure functions (thesis, 3.3 and 4.3).
#pragma once

#include <algorithm>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "raft/core/types.h"

namespace kvd::raft {

// The largest value that a majority of `voters` has reached, where `of(replica)` gives each one's
// value. Requires: voters is not empty.
template <class Of>
auto MajorityValue(const std::vector<Member>& voters, Of of) {
  absl::InlinedVector<decltype(of(ReplicaId())), 7> values;
  for (const Member& m : voters) values.push_back(of(m.replica));
  std::sort(values.begin(), values.end());
  // A majority is n/2+1 voters; as many values stand at or above this position.
  return values[(values.size() - 1) / 2];
}

// The same for a configuration: both majorities, if it is joint.
template <class Of>
auto QuorumValue(const Configuration& configuration, Of of) {
  auto value = MajorityValue(configuration.voters, of);
  if (configuration.IsJoint()) value = std::min(value, MajorityValue(configuration.outgoing, of));
  return value;
}

enum class VoteResult { kPending, kWon, kLost };

// `of(replica)` is +1 for granted, -1 for refused, 0 for no answer yet.
template <class Of>
VoteResult CountVotes(const Configuration& configuration, Of of) {
  if (QuorumValue(configuration, [&](ReplicaId id) { return of(id) > 0; })) return VoteResult::kWon;
  // Lost once the voters that have not refused no longer make a quorum.
  if (!QuorumValue(configuration, [&](ReplicaId id) { return of(id) >= 0; })) {
    return VoteResult::kLost;
  }
  return VoteResult::kPending;
}

}  // namespace kvd::raft
