#include "server/storage/gc_filter.h"

#include "server/storage/mvcc_key.h"

namespace kvd::storage {

bool GcFilter::Drops(std::string_view engine_key, std::string_view value) {
  if (!IsVersionKey(engine_key)) return false;
  GroupId group = GroupOf(engine_key);
  if (group != group_) {
    group_ = group;
    group_safe_point_ = safe_point_(group);
  }
  if (PrefixOf(engine_key) != prefix_) {
    prefix_ = PrefixOf(engine_key);
    newest_seen_ = false;
  }
  if (TimestampOf(engine_key) > group_safe_point_) return false;
  if (newest_seen_) return true;
  auto version = DecodeVersion(value);
  if (!version) return false;  // damage is for the reader to report
  // Tokens below the safe point are refused: nobody can ask for this outcome.
  if (version->kind == VersionKind::kOutcome) return true;
  newest_seen_ = true;
  return sees_all_levels_ && IsDead(*version, group_safe_point_);
}

}  // namespace kvd::storage
