#include "shardctrler/records.h"

#include <algorithm>

#include "shardctrler/codec.h"

namespace kvd::shardctrler {
namespace {

void EncodeReplicas(Writer& w, const std::vector<Replica>& replicas) {
  w.Varint(replicas.size());
  for (const Replica& replica : replicas) {
    w.Varint(replica.id);
    w.Varint(replica.store);
  }
}

std::vector<Replica> DecodeReplicas(Reader& r) {
  std::vector<Replica> replicas(r.Count());
  for (Replica& replica : replicas) {
    replica.id = r.Id<ReplicaId>();
    replica.store = r.Id<StoreId>();
  }
  return replicas;
}

// What is left of a value behind its format.
Reader Open(std::string_view bytes) {
  bool known = !bytes.empty() && static_cast<uint8_t>(bytes[0]) == kFormat;
  Reader r(known ? bytes.substr(1) : std::string_view());
  if (!known) (void)r.Byte();  // fails
  return r;
}

template <class T>
std::optional<T> Checked(const Reader& r, bool valid, T value) {
  if (!valid || !r.Done()) return std::nullopt;
  return value;
}

}  // namespace

void EncodeLabels(Writer& w, const std::map<std::string, std::string>& labels) {
  w.Varint(labels.size());
  for (const auto& [name, value] : labels) {
    w.Bytes(name);
    w.Bytes(value);
  }
}

std::map<std::string, std::string> DecodeLabels(Reader& r) {
  std::map<std::string, std::string> labels;
  for (uint64_t n = r.Count(); n > 0; --n) {
    std::string name(r.Bytes());
    labels[std::move(name)] = r.Bytes();
  }
  return labels;
}

void EncodeFields(Writer& w, const Operation& o) {
  w.Byte(static_cast<uint8_t>(o.kind));
  w.Byte(static_cast<uint8_t>(o.phase));
  w.Bytes(o.reason);
  w.Varint(o.shard);
  w.Varint(o.epoch);
  w.Bytes(o.key);
  w.Varint(o.other);
  w.Varint(o.other_epoch);
  w.Varint(o.group);
  w.Varint(o.to);
  EncodeReplicas(w, o.added);
  w.Varint(o.removed.size());
  for (ReplicaId id : o.removed) w.Varint(id);
  w.Byte(o.by_hand);
  w.Fixed64(o.opened.value());
  w.Fixed64(o.changed.value());
}

bool DecodeFields(Reader& r, Operation* o) {
  if (!DecodeEnum(r, OperationKind::kRetireGroup, &o->kind)) return false;
  if (!DecodeEnum(r, Phase::kCancelled, &o->phase)) return false;
  o->reason = r.Bytes();
  o->shard = r.Id<ShardId>();
  o->epoch = r.Id<Epoch>();
  o->key = r.Bytes();
  o->other = r.Id<ShardId>();
  o->other_epoch = r.Id<Epoch>();
  o->group = r.Id<GroupId>();
  o->to = r.Id<GroupId>();
  o->added = DecodeReplicas(r);
  o->removed.resize(r.Count());
  for (ReplicaId& id : o->removed) id = r.Id<ReplicaId>();
  o->by_hand = r.Byte() != 0;
  o->opened = Timestamp(r.Fixed64());
  o->changed = Timestamp(r.Fixed64());
  return r.ok();
}

std::string RecordKey(Table table, uint64_t number) {
  std::string key = Prefix(table);
  Writer(&key).Fixed64(number);
  return key;
}

std::string RecordKey(Table table, std::string_view name) {
  std::string key = Prefix(table);
  key += name;
  return key;
}

std::optional<uint64_t> NumberOf(std::string_view record_key) {
  Reader r(record_key.substr(1));
  uint64_t number = r.Fixed64();
  return Checked(r, true, number);
}

bool Ids::MayBeLost(ReplicaId id) const {
  return std::any_of(lost_replicas.begin(), lost_replicas.end(),
                     [id](const auto& range) { return range.first <= id && id < range.second; });
}

std::string Encode(const Ids& ids) {
  std::string out;
  Writer w(&out);
  w.Byte(kFormat);
  w.Fixed64(ids.cluster.value());
  w.Varint(ids.config);
  w.Varint(ids.next_store);
  w.Varint(ids.next_group);
  w.Varint(ids.next_replica);
  w.Varint(ids.next_shard);
  // Of most clusters nothing was ever lost, and nothing is said.
  if (ids.operations_from == 0) return out;
  w.Varint(ids.operations_from);
  w.Varint(ids.lost_replicas.size());
  for (const auto& [first, second] : ids.lost_replicas) {
    w.Varint(first);
    w.Varint(second);
  }
  return out;
}

std::optional<Ids> DecodeIds(std::string_view bytes) {
  Reader r = Open(bytes);
  Ids ids;
  ids.cluster = ClusterId(r.Fixed64());
  ids.config = r.Id<ConfigNumber>();
  ids.next_store = r.Id<StoreId>();
  ids.next_group = r.Id<GroupId>();
  ids.next_replica = r.Id<ReplicaId>();
  ids.next_shard = r.Id<ShardId>();
  if (!r.ok() || r.Done()) return Checked(r, true, ids);
  ids.operations_from = r.Varint();
  ids.lost_replicas.resize(r.Count());
  for (auto& [first, second] : ids.lost_replicas) {
    first = r.Id<ReplicaId>();
    second = r.Id<ReplicaId>();
  }
  return Checked(r, ids.operations_from != 0, std::move(ids));
}

std::string Encode(const Store& store) {
  std::string out;
  Writer w(&out);
  w.Byte(kFormat);
  w.Bytes(store.address);
  w.Fixed64(store.nonce);
  w.Byte(static_cast<uint8_t>(store.state));
  w.Varint(store.cores);
  EncodeLabels(w, store.labels);
  EncodeLabels(w, store.set_labels);
  return out;
}

std::optional<Store> DecodeStore(std::string_view bytes) {
  Reader r = Open(bytes);
  Store store;
  store.address = r.Bytes();
  store.nonce = r.Fixed64();
  bool valid = DecodeEnum(r, StoreState::kGone, &store.state);
  store.cores = static_cast<uint32_t>(r.Varint());
  store.labels = DecodeLabels(r);
  store.set_labels = DecodeLabels(r);
  return Checked(r, valid, std::move(store));
}

std::string Encode(const Group& group) {
  std::string out;
  Writer w(&out);
  w.Byte(kFormat);
  w.Byte(static_cast<uint8_t>(group.state));
  EncodeReplicas(w, group.replicas);
  return out;
}

std::optional<Group> DecodeGroup(std::string_view bytes) {
  Reader r = Open(bytes);
  Group group;
  bool valid = DecodeEnum(r, GroupState::kRetiring, &group.state);
  group.replicas = DecodeReplicas(r);
  return Checked(r, valid, std::move(group));
}

std::string Encode(const Shard& shard) {
  std::string out;
  Writer w(&out);
  w.Byte(kFormat);
  w.Varint(shard.id);
  w.Varint(shard.epoch);
  w.Varint(shard.group);
  w.Byte(shard.keep);
  return out;
}

std::optional<Shard> DecodeShard(std::string_view bytes) {
  Reader r = Open(bytes);
  Shard shard;
  shard.id = r.Id<ShardId>();
  shard.epoch = r.Id<Epoch>();
  shard.group = r.Id<GroupId>();
  shard.keep = r.Byte() != 0;
  return Checked(r, true, shard);
}

std::string Encode(const Operation& operation) {
  std::string out;
  Writer w(&out);
  w.Byte(kFormat);
  EncodeFields(w, operation);
  return out;
}

std::optional<Operation> DecodeOperation(std::string_view bytes) {
  Reader r = Open(bytes);
  Operation operation;
  bool valid = DecodeFields(r, &operation);
  return Checked(r, valid, std::move(operation));
}

std::string EncodeNumber(uint64_t number) {
  std::string out;
  Writer w(&out);
  w.Byte(kFormat);
  w.Fixed64(number);
  return out;
}

std::optional<uint64_t> DecodeNumber(std::string_view bytes) {
  Reader r = Open(bytes);
  uint64_t number = r.Fixed64();
  return Checked(r, true, number);
}

}  // namespace kvd::shardctrler
