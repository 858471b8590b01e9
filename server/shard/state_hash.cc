#include "server/shard/state_hash.h"

#include "absl/strings/str_cat.h"
#include "proto/bytes.h"
#include "proto/codec.h"
#include "proto/crc32c.h"
#include "proto/crc64.h"
#include "server/shard/group_meta.h"
#include "server/storage/gc_filter.h"
#include "server/storage/mvcc_key.h"

namespace kvd::shard {

using storage::VersionKind;

StateHasher::StateHasher(GroupId group, Timestamp safe_point, Timestamp clock)
    : safe_point_(safe_point), clock_(clock), applied_key_(AppliedKey(group)) {
  std::string head;
  Writer w(&head);
  w.Fixed64(safe_point.value());
  w.Fixed64(clock.value());
  totals_.hash = Crc64(head);
}

void StateHasher::Mix(std::string_view engine_key, std::string_view value) {
  std::string head;
  Writer w(&head);
  w.Bytes(engine_key);
  w.Varint(value.size());
  totals_.hash = Crc64(value, Crc64(head, totals_.hash));
}

void StateHasher::Check(std::string_view engine_key, const storage::Version* version) {
  auto user_key = storage::UserKeyOf(engine_key);
  const char* what = nullptr;
  if (version == nullptr || !user_key.has_value()) {
    what = " is malformed";
  } else if (version->kind == VersionKind::kValue &&
             ValueChecksum(*user_key, version->value) != version->crc32c) {
    what = " does not match its checksum";
  }
  if (what == nullptr || ++totals_.damaged != 1) return;
  totals_.first_damage = absl::StrCat("a version of key ",
                                      Printable(user_key.value_or(std::string(engine_key))), what);
}

void StateHasher::AddVersion(std::string_view engine_key, std::string_view value) {
  auto version = storage::DecodeVersion(value);
  Check(engine_key, version.has_value() ? &*version : nullptr);
  if (storage::PrefixOf(engine_key) != prefix_) {
    prefix_ = storage::PrefixOf(engine_key);
    newest_seen_ = settled_ = false;
  }
  bool visible = version.has_value() && version->kind != VersionKind::kOutcome;
  if (visible && !newest_seen_) {
    newest_seen_ = true;
    if (!storage::IsDead(*version, clock_)) ++totals_.keys;
  }
  if (storage::TimestampOf(engine_key) <= safe_point_) {
    // What a compaction may drop counts no more: outcomes, what is older than the newest, and that
    // one too if it is dead.
    if (settled_ || !visible) return;
    settled_ = true;
    if (storage::IsDead(*version, safe_point_)) return;
  }
  ++totals_.versions;
  Mix(engine_key, value);
}

void StateHasher::Add(std::string_view engine_key, std::string_view value) {
  totals_.bytes += engine_key.size() + value.size();
  if (storage::IsVersionKey(engine_key)) return AddVersion(engine_key, value);
  if (engine_key != applied_key_) Mix(engine_key, value);
}

absl::StatusOr<StateTotals> HashState(const storage::View& view, GroupId group,
                                      Timestamp safe_point, Timestamp clock) {
  StateHasher hasher(group, safe_point, clock);
  storage::IterateOptions options;
  std::tie(options.lower, options.upper) = storage::GroupBounds(group);
  options.fill_cache = false;
  auto it = view.NewIterator(options);
  for (it->Seek(options.lower); it->Valid(); it->Next()) hasher.Add(it->key(), it->value());
  if (!it->status().ok()) return it->status();
  return hasher.totals();
}

}  // namespace kvd::shard
