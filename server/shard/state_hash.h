// One number for everything of a group that anybody may still ask for: replicas at the same log
// index have the same one, whatever their compactions and sweeps have removed below the safe point.
//
// It covers, in engine order: every version above the safe point, outcomes included; of each key
// the newest version at or below it, unless that is dead there; and the group's own records, but
// for the one with the replica's id. Every version passed is checked against its checksum on the
// way, whether or not it counts.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "proto/ids.h"
#include "proto/timestamp.h"
#include "server/storage/engine.h"
#include "server/storage/version.h"

namespace kvd::shard {

struct StateTotals {
  uint64_t hash = 0;
  uint64_t keys = 0;         // with a live value at the clock
  uint64_t versions = 0;     // that the hash covers
  uint64_t bytes = 0;        // of all pairs passed
  uint64_t damaged = 0;      // versions that are malformed or do not match their checksum
  std::string first_damage;  // which, and what about it; empty if none is
};

// Pure.
class StateHasher {
 public:
  // Of a state with this safe point, whose last entry has the timestamp `clock`.
  StateHasher(GroupId group, Timestamp safe_point, Timestamp clock);

  // The group's next pair. Requires: keys rise.
  void Add(std::string_view engine_key, std::string_view value);

  const StateTotals& totals() const { return totals_; }

 private:
  void AddVersion(std::string_view engine_key, std::string_view value);
  void Check(std::string_view engine_key, const storage::Version* version);
  void Mix(std::string_view engine_key, std::string_view value);

  const Timestamp safe_point_;
  const Timestamp clock_;
  const std::string applied_key_;
  StateTotals totals_;
  std::string prefix_;        // of the key now passing
  bool newest_seen_ = false;  // its newest version that reads can see
  bool settled_ = false;      // its newest one at or below the safe point
};

// Of a whole view at once.
absl::StatusOr<StateTotals> HashState(const storage::View& view, GroupId group,
                                      Timestamp safe_point, Timestamp clock);

}  // namespace kvd::shard
