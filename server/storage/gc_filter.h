// Decides, in one pass over a group's versions in engine order, which ones nobody may ask for any
// more. Keeps every version above the safe point and, per key, the newest at or below it. If that
// one is a tombstone or expired it goes too, but only when the pass sees every level of the tree:
// else an older version below could come back to life. Pure; one filter per pass.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "proto/ids.h"
#include "proto/timestamp.h"
#include "server/storage/version.h"

namespace kvd::storage {

// Whether a version that is its key's newest at or below the safe point says that there is no
// value.
inline bool IsDead(const Version& version, Timestamp safe_point) {
  return version.kind == VersionKind::kTombstone ||
         (version.kind == VersionKind::kValue && version.IsExpiredAt(safe_point));
}

class GcFilter {
 public:
  // `safe_point(group)` must be the durable one: a replay after a crash must see what this pass
  // saw.
  GcFilter(std::function<Timestamp(GroupId)> safe_point, bool sees_all_levels)
      : safe_point_(std::move(safe_point)), sees_all_levels_(sees_all_levels) {}

  // Called with rising keys. True: the pair is dropped.
  bool Drops(std::string_view engine_key, std::string_view value);

 private:
  std::function<Timestamp(GroupId)> safe_point_;
  const bool sees_all_levels_;
  GroupId group_;
  Timestamp group_safe_point_;
  std::string prefix_;        // of the key now passing
  bool newest_seen_ = false;  // its newest version at or below the safe point has passed
};

}  // namespace kvd::storage
