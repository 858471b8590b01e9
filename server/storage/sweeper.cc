#include "server/storage/sweeper.h"

#include <algorithm>

#include "proto/bytes.h"
#include "proto/error.h"
#include "server/storage/gc_filter.h"
#include "server/storage/version.h"

namespace kvd::storage {

Sweeper::Sweeper(Engine* engine, GroupId group, Timestamp possible)
    : engine_(engine), group_(group), last_death_(possible) {
  if (possible) first_death_ = Timestamp();
}

void Sweeper::NoteDeath(Timestamp at) {
  first_death_ = std::min(first_death_, at);
  last_death_ = std::max(last_death_, at);
}

absl::StatusOr<bool> Sweeper::Dead(Iterator& it, std::string* victim) {
  const std::string prefix(PrefixOf(it.key()));
  if (TimestampOf(it.key()) > pass_safe_point_) {
    std::string sought = prefix;
    AppendTimestamp(&sought, pass_safe_point_);
    it.Seek(sought);
    if (!it.Valid() || !IsVersionOf(prefix, it.key())) return false;
  }
  auto version = DecodeVersion(it.value());
  if (!version)
    return CorruptionError("a stored version is malformed", UserKeyOf(it.key()).value_or(prefix));
  bool dead = IsDead(*version, pass_safe_point_);
  if (dead) *victim = it.key();
  it.Next();
  if (!it.Valid() || !IsVersionOf(prefix, it.key())) return dead;
  blocked_ = blocked_ || dead;
  it.Seek(PrefixEnd(prefix));
  return false;
}

absl::StatusOr<uint64_t> Sweeper::Step(Timestamp safe_point, uint64_t keys_max) {
  if (!passing_) {
    if (safe_point < first_death_) return 0;
    passing_ = true;
    blocked_ = false;
    pass_safe_point_ = safe_point;
    cursor_ = VersionBounds(group_, KeyRange()).first;
  }
  IterateOptions options;
  options.lower = cursor_;
  options.upper = VersionBounds(group_, KeyRange()).second;
  options.fill_cache = false;
  auto it = engine_->NewIterator(options);
  auto batch = engine_->NewBatch();
  uint64_t removed = 0;
  it->Seek(cursor_);
  for (uint64_t keys = 0; it->Valid() && keys < keys_max; ++keys) {
    std::string victim;
    auto dead = Dead(*it, &victim);
    if (!dead.ok()) return dead.status();
    if (!*dead) continue;
    batch->Delete(victim);
    ++removed;
  }
  if (!it->status().ok()) return it->status();
  if (it->Valid()) {
    cursor_ = it->key();
  } else {
    EndPass();
  }
  if (removed == 0) return 0;
  absl::Status written = engine_->Write(*batch);
  if (!written.ok()) return written;
  return removed;
}

void Sweeper::EndPass() {
  passing_ = false;
  bool more = blocked_ || last_death_ > pass_safe_point_;
  first_death_ = more ? pass_safe_point_ + 1 : kTimestampMax;
}

}  // namespace kvd::storage
