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
  return absl::OkStatus();
}

// As the controller will, in a group that it has made.
void DataGroup::InstallFirstShard(storage::WriteBatch& batch) {
  ShardStep step;
  step.kind = StepKind::kInstall;
  step.operation = OperationId(1);
  step.shard = ShardId(1);
  step.epoch = Epoch(1);
  auto effect = meta_.shards.Apply(step, meta_.clock + 1);
  KVD_CHECK(effect.ok());
  meta_.StoreShards(*effect, batch, group_);
}

}  // namespace kvd::shard
