// What the state machine reads: commands from the log, its own records, snapshots.
#include "proto/check.h"
#include "proto/codec.h"
#include "server/shard/command.h"
#include "server/shard/data_group.h"
#include "server/shard/group_meta.h"
#include "server/storage/memory_engine.h"
#include "tests/fuzz/target.h"

namespace kvd::shard {
namespace {

constexpr GroupId kGroup{1};

KVD_FUZZ_TARGET(command) {
  auto command = DecodeCommand(input);
  if (!command.ok()) return;
  (void)Validate(*command);
  if (command->kind == CommandKind::kWrite || command->kind == CommandKind::kDeleteRange)
    (void)command->PrimaryKey();
  // The same again, but for varints that had a longer form.
  auto again = DecodeCommand(Encode(*command));
  KVD_CHECK(again.ok() && Encode(*again) == Encode(*command));
}

// Names and bytes of records as an engine could hold them.
KVD_FUZZ_TARGET(group_meta) {
  storage::MemoryEngine engine;
  auto batch = engine.NewBatch();
  constexpr const char* kNames[] = {"applied", "config", "safe", "closed", "stores", "other"};
  Reader r(input);
  while (r.ok() && !r.rest().empty()) {
    uint8_t which = r.Byte() % (std::size(kNames) + 2);
    std::string name = which < std::size(kNames) ? kNames[which] : "";
    if (name.empty()) {
      name = which == std::size(kNames) ? "d" : "f";
      Writer(&name).Fixed64(r.Byte());
    }
    batch->Put(storage::MetaKey(kGroup, name), r.Bytes());
  }
  KVD_CHECK(engine.Write(*batch).ok());
  (void)DecodeAppliedIndex(*engine.Get(AppliedKey(kGroup)));
  (void)DecodeSafePoint(*engine.Get(SafePointKey(kGroup)));
  auto meta = GroupMeta::Load(engine, kGroup);
  if (!meta.ok()) return;
  (void)meta->shards.Serving("key");
  (void)meta->shards.ServesRange(KeyRange{"a", "b"});
  auto stored = engine.NewBatch();
  meta->StoreApplied(*stored, kGroup);
  meta->StoreConfiguration(*stored, kGroup);
  meta->StoreSafePoint(*stored, kGroup);
  StepEffect effect;
  for (const auto& [start, shard] : meta->shards.shards()) effect.changed.push_back(shard.id);
  for (const auto& [id, finished] : meta->shards.finished()) effect.told.push_back(id);
  meta->StoreShards(effect, *stored, kGroup);
  meta->StoreFence(*stored, kGroup);
  KVD_CHECK(engine.Write(*stored).ok());
  auto again = GroupMeta::Load(engine, kGroup);
  KVD_CHECK(again.ok() && again->EncodeApplied() == meta->EncodeApplied());
  KVD_CHECK(again->fence == meta->fence && again->shards.shards() == meta->shards.shards() &&
            again->shards.finished() == meta->shards.finished());
}

// Whatever was installed can be read, swept and passed on.
void UseAll(DataGroup& group) {
  storage::MvccReader reader = group.reader();
  storage::ScanOptions options;
  options.at = kTimestampMax;
  auto row = [](const std::string&, Timestamp, const storage::Version&) { return true; };
  for (bool reverse : {false, true}) {
    options.reverse = reverse;
    (void)reader.Scan(options, row);
  }
  (void)reader.DeltaScan(KeyRange(), Timestamp(), kTimestampMax, row);
  auto snapshot = group.TakeSnapshot();
  KVD_CHECK(snapshot.ok());
  for (uint64_t i = 0;; ++i) {
    auto chunk = (*snapshot)->Read(i);
    KVD_CHECK(chunk.ok());
    if (chunk->last) break;
  }
}

// Chunks of a snapshot, with the position announced. It is installed whole or not at all.
KVD_FUZZ_TARGET(snapshot) {
  storage::MemoryEngine engine;
  auto group = DataGroup::Open(&engine, kGroup, DataGroupOptions());
  KVD_CHECK(group.ok() && (*group)->Wipe(ReplicaId(2)).ok());
  std::string before = (*group)->meta().EncodeApplied();
  Reader r(input);
  raft::SnapshotMeta meta;
  meta.index = r.Id<Index>();
  meta.term = r.Id<Term>();
  meta.configuration.voters = {{ReplicaId(1), StoreId(1)}, {ReplicaId(2), StoreId(2)}};
  auto stage = (*group)->StageSnapshot();
  KVD_CHECK(stage.ok());
  while (r.ok() && !r.rest().empty()) {
    if (!(*stage)->Add(r.Bytes()).ok()) return;
  }
  absl::Status installed = (*group)->InstallSnapshot(*std::move(stage), meta, ReplicaId(2));
  if (!installed.ok()) {
    KVD_CHECK((*group)->meta().EncodeApplied() == before);
    return;
  }
  KVD_CHECK((*group)->applied().index == meta.index && (*group)->replica() == ReplicaId(2));
  UseAll(**group);
  // And after a restart.
  auto reopened = DataGroup::Open(&engine, kGroup, DataGroupOptions());
  KVD_CHECK(reopened.ok() && (*reopened)->applied().index == meta.index);
  UseAll(**reopened);
}

}  // namespace
}  // namespace kvd::shard
