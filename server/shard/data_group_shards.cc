// Steps of the controller's on the group's shards: what they do beside changing the table.
#include "absl/strings/str_cat.h"
#include "proto/bytes.h"
#include "proto/check.h"
#include "server/shard/data_group.h"
#include "server/shard/shard_codec.h"

namespace kvd::shard {

// Keys in order, each in the shard, each version in the round and well-formed.
absl::Status DataGroup::CheckRows(const ShardStep& step) const {
  const ShardDescriptor* shard = meta_.shards.Find(step.shard);
  if (shard == nullptr) return absl::OkStatus();  // the table says so
  std::string_view before = step.key;
  bool fit = ForEachRow(step.rows, [&](const ShardRow& row) {
    bool inside = shard->range.Contains(row.key) && row.key >= before &&
                  (step.next_key.empty() || row.key < step.next_key);
    before = row.key;
    return inside && row.timestamp > step.after && row.timestamp <= step.at &&
           storage::DecodeVersion(row.version).has_value();
  });
  if (fit) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("import of shard ", step.shard.value(),
                                                 ": rows that do not belong to it, or malformed"));
}

void DataGroup::TakeRows(const ShardStep& step, storage::WriteBatch& batch) {
  ForEachRow(step.rows, [&](const ShardRow& row) {
    batch.Put(storage::VersionKey(group_, row.key, row.timestamp), row.version);
    auto version = *storage::DecodeVersion(row.version);
    if (version.kind == storage::VersionKind::kTombstone) sweeper_.NoteDeath(row.timestamp);
    if (version.expiry) {
      sweeper_.NoteDeath(version.expiry);
      // What has expired by the clock does so without a push.
      if (version.expiry > meta_.clock) batch.Put(ExpiryKey(group_, version.expiry), "");
    }
    return true;
  });
}

absl::Status DataGroup::ExecuteShard(const ShardStep& step, Timestamp timestamp,
                                     CommandResult* result, storage::WriteBatch& batch) {
  absl::Status rows = CheckRows(step);
  if (!rows.ok()) return rows;
  auto effect = meta_.shards.Apply(step, timestamp);
  if (!effect.ok()) return effect.status();
  meta_.StoreShards(*effect, batch, group_);
  if (effect->erased) {
    auto [begin, end] = storage::VersionBounds(group_, *effect->erased);
    batch.DeleteRange(begin, end);
    row_cache_.Clear();
  }
  if (effect->takes_rows) TakeRows(step, batch);
  if (effect->completes) {
    // The history that came along may hold what this table of writers has never seen.
    writers_.Restart(timestamp);
    row_cache_.Clear();
    RaiseSafePoint(step.safe_point, timestamp, batch);
  }
  result->answer = Encode(StepAnswer{effect->outcome, effect->shard, meta_.safe_point});
  if (on_shards_changed && !effect->changed.empty() && !effect->takes_rows) on_shards_changed();
  return absl::OkStatus();
}

// Any replica will do: what it has up to its clock is what all have, as timestamps rise with the
// log, and what is newer than the shard's pin is kept on all.
absl::StatusOr<DataGroup::ExportedRows> DataGroup::Export(const ExportRequest& request) const {
  const ShardDescriptor* shard = meta_.shards.Find(request.shard);
  bool moves = shard != nullptr && shard->operation == request.operation &&
               shard->state != ShardState::kImporting;
  if (halted_ || damaged() || unwritten_ || !moves || request.upto > meta_.clock) {
    return absl::UnavailableError(absl::StrCat(
        "this replica of group ", group_.value(), " does not know of the move of shard ",
        request.shard.value(), " yet, or of all that is asked for"));
  }
  if (request.after && request.after < meta_.safe_point) {
    return absl::OutOfRangeError(absl::StrCat("the history of group ", group_.value(),
                                              " begins at ", meta_.safe_point.value(), ", not at ",
                                              request.after.value()));
  }
  constexpr uint64_t kLookedAtMax = 20'000;  // the loop must get its turn
  ExportedRows out;
  out.upto = request.upto ? request.upto : meta_.clock;
  KeyRange range = shard->range;
  range.start = std::max(range.start, request.key);
  uint64_t looked_at = 0;
  std::string last;
  bool first = true;
  absl::Status scanned = reader().DeltaScan(
      range, Timestamp(), kTimestampMax,
      [&](const std::string& key, Timestamp timestamp, const storage::Version& version) {
        bool other = first || key != last;
        // All versions of a key together: one that was dropped and one that hides it never part.
        if (other && !first &&
            (out.rows.size() >= request.bytes_max || looked_at >= kLookedAtMax)) {
          out.next_key = key;
          return false;
        }
        if (other) last = key;
        first = false;
        ++looked_at;
        if (timestamp <= request.after || timestamp > out.upto) return true;
        AppendRow(&out.rows, {key, timestamp, storage::Encode(version)});
        return true;
      });
  if (!scanned.ok()) return Unreadable(scanned);
  return out;
}

}  // namespace kvd::shard
