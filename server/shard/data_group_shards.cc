// Steps of the controller's on the group's shards: what they do beside changing the table.
#include "absl/strings/str_cat.h"
#include "proto/bytes.h"
#include "proto/check.h"
#include "server/shard/data_group.h"
#include "server/shard/shard_codec.h"
#include "server/storage/middle.h"

namespace kvd::shard {

// Keys in order, each in the shard, each version in the round and well-formed. A key may have begun
// in an earlier chunk, or go on in the next one.
absl::Status DataGroup::CheckRows(const ShardStep& step) const {
  const ShardDescriptor* shard = meta_.shards.Find(step.shard);
  if (shard == nullptr) return absl::OkStatus();  // the table says so
  std::string_view before = step.key;
  bool fit = ForEachRow(step.rows, [&](const ShardRow& row) {
    bool begun = row.key == step.key && row.timestamp <= step.key_after;
    bool goes_on = row.key == step.next_key && row.timestamp <= step.next_after;
    bool inside = shard->range.Contains(row.key) && row.key >= before && !begun &&
                  (step.next_key.empty() || row.key < step.next_key || goes_on);
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

// What is written to a shard that leaves is kept in mind from here on.
void DataGroup::NoteExport(ShardId id) {
  const ShardDescriptor* shard = meta_.shards.Find(id);
  bool leaves = shard != nullptr && shard->operation && shard->state != ShardState::kImporting;
  leaves ? recent_.Watch(*shard, meta_.clock) : recent_.Forget(id);
}

void DataGroup::NoteExports() {
  recent_.Clear();
  for (const auto& [start, shard] : meta_.shards.shards()) NoteExport(shard.id);
}

absl::Status DataGroup::ExecuteShard(const ShardStep& step, Timestamp timestamp,
                                     CommandResult* result, storage::WriteBatch& batch) {
  absl::Status rows = CheckRows(step);
  if (!rows.ok()) return rows;
  auto effect = meta_.shards.Apply(step, timestamp);
  if (!effect.ok()) return effect.status();
  meta_.StoreShards(*effect, batch, group_);
  for (ShardId id : effect->changed) {
    NoteExport(id);
    if (!effect->takes_rows) load_.Forget(id);
  }
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
  result->answer = Encode(StepAnswer{effect->outcome, effect->shard, meta_.floor});
  if (on_shards_changed && !effect->changed.empty() && !effect->takes_rows) on_shards_changed();
  return absl::OkStatus();
}

absl::StatusOr<std::string> DataGroup::MiddleOf(const ShardDescriptor& shard) const {
  auto [begin, end] = storage::VersionBounds(group_, shard.range);
  auto middle = storage::MiddleKey(*engine_, begin, end);
  if (!middle.ok() || middle->empty()) return middle;
  auto key = storage::UserKeyOf(*middle);
  if (!key || *key <= shard.range.start || !shard.range.Contains(*key)) return std::string();
  // If it is the first one, nothing would be on its left.
  storage::IterateOptions options;
  options.lower = begin;
  options.upper = *middle;
  auto it = engine_->NewIterator(options);
  it->Seek(begin);
  if (!it->status().ok()) return it->status();
  bool first = !it->Valid() || storage::UserKeyOf(it->key()) == key;
  return first ? std::string() : std::string(*key);
}

// Any replica will do: what it has up to its clock is what all have, as timestamps rise with the
// log, and what is newer than the shard's pin is kept on all.
absl::StatusOr<ExportedRows> DataGroup::Export(const ExportRequest& request) const {
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
  ExportedRows out;
  out.upto = request.upto ? request.upto : meta_.clock;
  absl::Status taken =
      ExportRows(reader(), shard->range, request, recent_.Find(request.shard), &out);
  if (!taken.ok()) return Unreadable(taken);
  return out;
}

}  // namespace kvd::shard
