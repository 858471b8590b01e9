// Where a read may look (design, 6), and reading a key there.
#include "absl/strings/str_cat.h"
#include "proto/check.h"
#include "proto/error.h"
#include "proto/limits.h"
#include "server/shard/data_group.h"

namespace kvd::shard {

void DataGroup::PrepareRead(const ReadSpec& spec, ReadPointCallback callback) {
  raft::ReadMode mode = spec.mode.value_or(options_.read_mode);
  if (halted_) return callback(NotLeaderError(group_, host_->LeaderStore(group_), ""));
  if (spec.consistency == Consistency::kBoundedStale) {
    bool fresh = loop_->Now() - host_->core(group_).fresh_as_of() <= spec.staleness_max;
    if (fresh) return callback(ReadPoint{meta_.clock, std::nullopt});
    // The leader is always fresh enough; elsewhere the caller goes on to it.
    if (!leads_) return callback(NotLeaderError(group_, host_->LeaderStore(group_), ""));
  }
  if (spec.consistency == Consistency::kSnapshot && spec.timestamp) {
    return PrepareSnapshotRead(spec.timestamp, mode, std::move(callback));
  }
  host_->Read(group_, mode, [this, callback = std::move(callback)](auto ticket) {
    if (!ticket.ok()) return callback(ticket.status());
    callback(PointFor(meta_.clock, *ticket));
  });
}

std::optional<ReadPoint> DataGroup::TryPrepareRead(const ReadSpec& spec) {
  bool now = spec.consistency == Consistency::kLinearizable ||
             (spec.consistency == Consistency::kSnapshot && !spec.timestamp);
  if (!now || halted_) return std::nullopt;
  auto ticket = host_->TryRead(group_, spec.mode.value_or(options_.read_mode));
  if (!ticket) return std::nullopt;
  return PointFor(meta_.clock, *ticket);
}

void DataGroup::PrepareSnapshotRead(Timestamp at, raft::ReadMode mode, ReadPointCallback callback) {
  // Timestamps rise with the log: what this replica has up to its clock is all there will ever be.
  if (at <= meta_.clock && at >= meta_.floor) return callback(ReadPoint{at, std::nullopt});
  if (!leads_) return callback(NotLeaderError(group_, host_->LeaderStore(group_), ""));
  if (at < meta_.floor) {
    return callback(absl::OutOfRangeError(
        absl::StrCat("timestamp ", at.value(), " is older than the history kept, which begins at ",
                     meta_.floor.value())));
  }
  Timestamp ahead = AheadMax(PhysicalMillis());
  if (at > ahead) {
    return callback(LimitError("timestamp", ahead.value(), at.value(),
                               "(over an hour ahead of the cluster's clock)"));
  }
  if (at > meta_.clock) {
    // No later write may take a timestamp at or below it.
    Command advance;
    advance.kind = CommandKind::kClockAdvance;
    advance.timestamp = at;
    Submit(std::move(advance), [this, at, mode, callback = std::move(callback)](auto result) {
      if (!result.ok()) return callback(result.status());
      PrepareSnapshotRead(at, mode, callback);
    });
    return;
  }
  host_->Read(group_, mode, [this, at, callback = std::move(callback)](auto ticket) {
    if (!ticket.ok()) return callback(ticket.status());
    if (at < meta_.floor) {
      return callback(absl::OutOfRangeError(absl::StrCat(
          "timestamp ", at.value(), ": the history was given up meanwhile, it begins at ",
          meta_.floor.value())));
    }
    callback(PointFor(at, *ticket));
  });
}

ReadPoint DataGroup::PointFor(Timestamp at, const raft::ReadTicket& ticket) const {
  // What was acknowledged before the read began is in what it sees (thesis, 6.4).
  KVD_CHECK(meta_.applied.index >= ticket.index);
  return ReadPoint{at, ticket};
}

absl::StatusOr<std::optional<storage::StoredVersion>> DataGroup::Get(std::string_view user_key,
                                                                     Timestamp at) {
  // What is in memory is ahead of the engine, or the engine is not to be trusted: a row may be what
  // the engine does not have.
  if (halted_ || unwritten_ || damaged()) {
    row_cache_.Clear();
    return reader().Get(user_key, at);
  }
  if (const storage::RowCache::Row* row = row_cache_.Find(user_key, at)) {
    std::optional<storage::StoredVersion> version(std::in_place, row->timestamp, row->bytes);
    if (!version->version.IsLiveAt(at)) return std::nullopt;
    return version;
  }
  auto found = reader().Newest(user_key, at);
  if (!found.ok() || !found->has_value()) return found;
  const storage::StoredVersion& newest = **found;
  bool live = newest.version.IsLiveAt(at);
  // No version is above the clock, so at the clock it is the newest of all. What has expired by
  // then was not checked, and a read in the past might be given it from here.
  bool checked = live || newest.version.kind == storage::VersionKind::kTombstone;
  if (checked && at >= meta_.clock) row_cache_.Insert(user_key, newest.timestamp, newest.bytes);
  if (!live) found->reset();
  return found;
}

bool DataGroup::Confirm(const ReadPoint& point) const {
  return !point.ticket.has_value() || host_->Confirm(group_, *point.ticket);
}

}  // namespace kvd::shard
