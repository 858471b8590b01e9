#include "server/shard/group_meta.h"

#include "proto/codec.h"
#include "server/shard/shard_codec.h"
#include "server/storage/mvcc_key.h"

namespace kvd::shard {

using storage::MetaKey;

namespace {

absl::Status Damaged(const char* what) {
  return absl::DataLossError(std::string("the group's record '") + what + "' is malformed");
}

bool DecodeApplied(Reader& r, GroupMeta* meta) {
  meta->applied.index = Index(r.Fixed64());
  meta->applied.term = Term(r.Fixed64());
  meta->clock = Timestamp(r.Fixed64());
  meta->replica = ReplicaId(r.Fixed64());
  return r.Done();
}

constexpr char kShardRecord = 'd';
constexpr char kFinishedRecord = 'f';

struct Record {
  const char* name;
  bool (*decode)(Reader&, GroupMeta*);
};

constexpr Record kRecords[] = {
    {"applied", DecodeApplied},
    {"config",
     [](Reader& r, GroupMeta* meta) {
       return raft::Configuration::Decode(r.rest(), &meta->applied.configuration);
     }},
    {"safe",
     [](Reader& r, GroupMeta* meta) {
       meta->safe_point = Timestamp(r.Fixed64());
       meta->floor = Timestamp(r.Fixed64());
       return r.Done() && meta->floor >= meta->safe_point;
     }},
    {"closed",
     [](Reader& r, GroupMeta* meta) {
       meta->shards.RestoreClosedBelow(r.Id<OperationId>());
       return r.Done();
     }},
    {"fence",
     [](Reader& r, GroupMeta* meta) {
       meta->fence = r.Id<OperationId>();
       return r.Done();
     }},
};

std::string ShardRecordKey(GroupId group, char kind, ShardId id) {
  std::string key = MetaKey(group, std::string(1, kind));
  Writer(&key).Fixed64(id.value());
  return key;
}

// The records of one kind, of all shards.
absl::Status LoadAll(const storage::View& view, GroupId group, char kind, GroupMeta* meta) {
  storage::IterateOptions options;
  options.lower = MetaKey(group, std::string(1, kind));
  options.upper = MetaKey(group, std::string(1, static_cast<char>(kind + 1)));
  auto it = view.NewIterator(options);
  for (it->Seek(options.lower); it->Valid(); it->Next()) {
    absl::Status taken = meta->Take(it->key().substr(storage::kSpacePrefixBytes), it->value());
    if (!taken.ok()) return taken;
  }
  return it->status();
}

}  // namespace

std::string AppliedKey(GroupId group) { return MetaKey(group, "applied"); }
std::string ConfigurationKey(GroupId group) { return MetaKey(group, "config"); }
std::string SafePointKey(GroupId group) { return MetaKey(group, "safe"); }

std::string ExpiryKey(GroupId group, Timestamp expiry) {
  std::string key = MetaKey(group, "x");
  Writer(&key).Fixed64(expiry.value());
  return key;
}

Timestamp ExpiryOf(std::string_view expiry_key) {
  return Timestamp(Reader(expiry_key.substr(storage::kSpacePrefixBytes + 1)).Fixed64());
}

absl::StatusOr<GroupMeta> GroupMeta::Load(const storage::View& view, GroupId group) {
  GroupMeta meta;
  for (const Record& record : kRecords) {
    auto bytes = view.Get(MetaKey(group, record.name));
    if (!bytes.ok()) return bytes.status();
    if (!bytes->has_value()) continue;
    absl::Status taken = meta.Take(record.name, **bytes);
    if (!taken.ok()) return taken;
  }
  for (char kind : {kShardRecord, kFinishedRecord}) {
    absl::Status loaded = LoadAll(view, group, kind, &meta);
    if (!loaded.ok()) return loaded;
  }
  return meta;
}

absl::Status GroupMeta::Take(std::string_view name, std::string_view bytes) {
  for (const Record& record : kRecords) {
    if (name != record.name) continue;
    Reader reader(bytes);
    return record.decode(reader, this) ? absl::OkStatus() : Damaged(record.name);
  }
  if (name.size() == 1 + sizeof(uint64_t)) {
    ShardId id(Reader(name.substr(1)).Fixed64());
    if (name[0] == kShardRecord) {
      auto shard = DecodeShard(bytes);
      bool fits = shard && shard->id == id && shards.Restore(*shard);
      return fits ? absl::OkStatus() : Damaged("shard");
    }
    if (name[0] == kFinishedRecord) {
      auto finished = DecodeFinished(bytes);
      if (!finished) return Damaged("finished");
      shards.Restore(id, *finished);
      return absl::OkStatus();
    }
  }
  // An expiry ahead, or a record of a later version.
  return absl::OkStatus();
}

std::string GroupMeta::EncodeApplied() const {
  std::string out;
  Writer w(&out);
  w.Fixed64(applied.index.value());
  w.Fixed64(applied.term.value());
  w.Fixed64(clock.value());
  w.Fixed64(replica.value());
  return out;
}

void GroupMeta::StoreApplied(storage::WriteBatch& batch, GroupId group) const {
  batch.Put(AppliedKey(group), EncodeApplied());
}

void GroupMeta::StoreConfiguration(storage::WriteBatch& batch, GroupId group) const {
  batch.Put(ConfigurationKey(group), applied.configuration.Encode());
}

void GroupMeta::StoreSafePoint(storage::WriteBatch& batch, GroupId group) const {
  std::string out;
  Writer w(&out);
  w.Fixed64(safe_point.value());
  w.Fixed64(floor.value());
  batch.Put(SafePointKey(group), out);
}

void GroupMeta::StoreShards(const StepEffect& effect, storage::WriteBatch& batch,
                            GroupId group) const {
  for (ShardId id : effect.changed) {
    std::string key = ShardRecordKey(group, kShardRecord, id);
    const ShardDescriptor* shard = shards.Find(id);
    shard != nullptr ? batch.Put(key, Encode(*shard)) : batch.Delete(key);
  }
  for (ShardId id : effect.told) {
    std::string key = ShardRecordKey(group, kFinishedRecord, id);
    auto finished = shards.finished().find(id);
    finished != shards.finished().end() ? batch.Put(key, Encode(finished->second))
                                        : batch.Delete(key);
  }
  std::string closed;
  Writer(&closed).Varint(shards.closed_below());
  batch.Put(MetaKey(group, "closed"), closed);
}

void GroupMeta::StoreFence(storage::WriteBatch& batch, GroupId group) const {
  std::string out;
  Writer(&out).Varint(fence);
  batch.Put(MetaKey(group, "fence"), out);
}

absl::StatusOr<Index> DecodeAppliedIndex(const std::optional<std::string>& bytes) {
  if (!bytes.has_value()) return Index();
  Reader reader(*bytes);
  Index index(reader.Fixed64());
  if (!reader.ok()) return Damaged("applied");
  return index;
}

absl::StatusOr<Timestamp> DecodeSafePoint(const std::optional<std::string>& bytes) {
  if (!bytes.has_value()) return Timestamp();
  Reader reader(*bytes);
  Timestamp safe_point(reader.Fixed64());
  (void)reader.Fixed64();  // the floor
  if (!reader.Done()) return Damaged("safe");
  return safe_point;
}

}  // namespace kvd::shard
