#include "shardctrler/state.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "proto/bytes.h"
#include "proto/check.h"

namespace kvd::shardctrler {
namespace {

template <class Map>
auto Lookup(const Map& map, const typename Map::key_type& id) {
  auto it = map.find(id);
  return it == map.end() ? nullptr : &it->second;
}

template <class Id, class T>
bool Insert(std::map<Id, T>* map, std::string_view key, std::optional<T> value) {
  auto number = NumberOf(key);
  if (!number || !value) return false;
  (*map)[Id(*number)] = *std::move(value);
  return true;
}

}  // namespace

const Store* State::FindStore(StoreId id) const { return Lookup(stores_, id); }
const Group* State::FindGroup(GroupId id) const { return groups_.Find(id); }
const Operation* State::FindOperation(OperationId id) const { return Lookup(operations_, id); }

bool State::HoldsReplica(StoreId store) const {
  if (!groups_.On(store).empty()) return true;
  auto on_store = [store](const Replica& r) { return r.store == store; };
  for (const auto& [id, o] : operations_) {
    if (IsOpen(o.phase) && std::any_of(o.added.begin(), o.added.end(), on_store)) return true;
  }
  return false;
}

void State::Put(const Ids& ids, storage::RecordSink* records) {
  ++version_;
  ids_ = ids;
  records->Put(Prefix(Table::kIds), Encode(ids));
}

void State::Put(StoreId id, const Store& store, storage::RecordSink* records) {
  NotePlacement();
  stores_[id] = store;
  records->Put(RecordKey(Table::kStores, id.value()), Encode(store));
}

void State::Put(GroupId id, const Group& group, storage::RecordSink* records) {
  NotePlacement();
  groups_.Put(id, group);
  records->Put(RecordKey(Table::kGroups, id.value()), Encode(group));
}

void State::EraseGroup(GroupId id, storage::RecordSink* records) {
  NotePlacement();
  groups_.Erase(id);
  records->Delete(RecordKey(Table::kGroups, id.value()));
}

void State::PutShard(const std::string& start, const Shard& shard, storage::RecordSink* records) {
  ++version_;
  shards_.Put(start, shard);
  records->Put(RecordKey(Table::kShards, start), Encode(shard));
}

void State::EraseShard(const std::string& start, storage::RecordSink* records) {
  ++version_;
  shards_.Erase(start);
  records->Delete(RecordKey(Table::kShards, start));
}

void State::Put(OperationId id, const Operation& operation, storage::RecordSink* records) {
  ++version_;
  const Operation* before = FindOperation(id);
  KVD_CHECK(before == nullptr || IsOpen(before->phase));
  if (before != nullptr) Mark(*before, OperationId());
  operations_[id] = operation;
  records->Put(RecordKey(Table::kOperations, id.value()), Encode(operation));
  if (IsOpen(operation.phase)) return Mark(operation, id);
  ++closed_;
  ForgetClosed(id, records);
}

void State::ForgetClosed(OperationId but, storage::RecordSink* records) {
  for (auto it = operations_.begin(); closed_ > kClosedOperationsMax;) {
    if (IsOpen(it->second.phase) || it->first == but) {
      ++it;
      continue;
    }
    records->Delete(RecordKey(Table::kOperations, it->first.value()));
    it = operations_.erase(it);
    --closed_;
  }
}

// What is gone by now need not be told.
void State::Mark(const Operation& o, OperationId with) {
  auto mark_shard = [&](ShardId id) {
    if (shards_.Find(id) != shards_.end()) shards_.SetOperation(id, with);
  };
  auto mark_group = [&](GroupId id) {
    NotePlacement();
    groups_.SetOperation(id, with);
  };
  switch (o.kind) {
    case OperationKind::kMerge: mark_shard(o.other); [[fallthrough]];
    case OperationKind::kMove:
    case OperationKind::kSplit: return mark_shard(o.shard);
    case OperationKind::kCreateGroup:
      mark_shard(o.shard);  // the first group's
      [[fallthrough]];
    case OperationKind::kChangeReplicas:
    case OperationKind::kRetireGroup: return mark_group(o.group);
  }
}

void State::PutSetting(std::string_view name, uint64_t value, storage::RecordSink* records) {
  NotePlacement();
  settings_.Set(name, value);
  records->Put(RecordKey(Table::kSettings, name), EncodeNumber(value));
}

void State::PutConfig(Timestamp since, storage::RecordSink* records) {
  Ids ids = ids_;
  ++ids.config;
  Put(ids, records);
  records->Put(RecordKey(Table::kConfigs, ids.config.value()), EncodeNumber(since.value()));
}

bool State::Take(std::string_view key, std::string_view value) {
  switch (static_cast<Table>(key[0])) {
    case Table::kConfigs: return true;  // read when asked for
    case Table::kIds:
      if (auto ids = DecodeIds(value)) {
        ids_ = *ids;
        return true;
      }
      return false;
    case Table::kStores: return Insert(&stores_, key, DecodeStore(value));
    case Table::kGroups: {
      auto number = NumberOf(key);
      auto group = DecodeGroup(value);
      if (!number || !group) return false;
      groups_.Put(GroupId(*number), *group);
      return true;
    }
    case Table::kOperations: return Insert(&operations_, key, DecodeOperation(value));
    case Table::kShards: {
      auto shard = DecodeShard(value);
      if (!shard || shards_.Find(shard->id) != shards_.end()) return false;
      shards_.Put(std::string(NameOf(key)), *shard);
      return true;
    }
    case Table::kSettings: {
      auto number = DecodeNumber(value);
      // One that only a later version knows says nothing here.
      if (number && Settings::Check(NameOf(key), *number).ok()) settings_.Set(NameOf(key), *number);
      return number.has_value();
    }
  }
  return true;
}

absl::Status State::Load(const storage::MvccReader& reader, Timestamp at) {
  // What was known at an earlier version is about another state.
  uint64_t version = version_ + 1;
  *this = State();
  version_ = placement_version_ = version;
  storage::ScanOptions options;
  options.at = at;
  std::string bad;
  auto scanned =
      reader.Scan(options, [&](const std::string& key, Timestamp, const storage::Version& version) {
        if (!Take(key, version.value)) bad = key;
        return bad.empty();
      });
  if (!scanned.ok()) return scanned.status();
  if (!bad.empty()) {
    return absl::DataLossError(
        absl::StrCat("the controller's record ", Printable(bad), " is malformed"));
  }
  for (const auto& [id, operation] : operations_) {
    if (IsOpen(operation.phase)) {
      Mark(operation, id);
    } else {
      ++closed_;
    }
  }
  return absl::OkStatus();
}

void State::CheckState() const {
  shards_.CheckState();
  KVD_CHECK(ids_.cluster || shards_.empty());
  for (const auto& [start, shard] : shards_.shards()) {
    const Group* group = FindGroup(shard.group);
    KVD_CHECK(group != nullptr && group->state != GroupState::kRetiring);
    KVD_CHECK(shard.group != kControllerGroup && shard.id < ids_.next_shard);
    KVD_CHECK(!shard.operation || FindOperation(shard.operation) != nullptr);
  }
  groups_.CheckState();
  for (const auto& [id, group] : groups_.all()) {
    KVD_CHECK(id < ids_.next_group && !group.replicas.empty());
    std::set<StoreId> stores;
    for (const Replica& r : group.replicas) {
      KVD_CHECK(r.id < ids_.next_replica && FindStore(r.store) != nullptr);
      KVD_CHECK(stores.insert(r.store).second);
    }
    KVD_CHECK(group.state == GroupState::kServing || group.operation);
  }
  size_t closed = 0;
  for (const auto& [id, o] : operations_) {
    if (!IsOpen(o.phase)) {
      ++closed;
      continue;
    }
    auto shard = shards_.Find(o.shard);
    bool on_shard = o.kind <= OperationKind::kMerge;
    KVD_CHECK(!on_shard || (shard != shards_.end() && shard->second.operation == id));
    const Group* group = FindGroup(o.group);
    KVD_CHECK(on_shard || (group != nullptr && group->operation == id));
    const Group* target = o.to ? FindGroup(o.to) : nullptr;
    KVD_CHECK(o.kind != OperationKind::kMove ||
              (target != nullptr && target->state == GroupState::kServing));
  }
  KVD_CHECK(closed == closed_);
}

absl::StatusOr<Timestamp> ConfigSince(const storage::MvccReader& reader, ConfigNumber number,
                                      Timestamp now) {
  auto since = reader.Get(RecordKey(Table::kConfigs, number.value()), now);
  if (!since.ok()) return since.status();
  if (!since->has_value()) {
    return absl::NotFoundError(absl::StrCat("there is no config ", number.value()));
  }
  auto value = DecodeNumber((*since)->version.value);
  if (!value)
    return absl::DataLossError(
        absl::StrCat("the record of config ", number.value(), " is malformed"));
  return Timestamp(*value);
}

absl::StatusOr<ConfigPage> ReadConfig(const storage::MvccReader& reader, ConfigNumber number,
                                      Timestamp now, Timestamp safe_point, std::string_view from,
                                      size_t most) {
  auto since = ConfigSince(reader, number, now);
  if (!since.ok()) return since.status();
  // What held when the history that is kept begins is the map as it was then.
  Timestamp at = std::max(*since, safe_point);
  if (*since < at) {
    auto until = ConfigSince(reader, ConfigNumber(number.value() + 1), now);
    if (!until.ok() && !absl::IsNotFound(until.status())) return until.status();
    if (until.ok() && *until <= at)
      return absl::OutOfRangeError(
          absl::StrCat("config ", number.value(), " is older than the history that is kept"));
  }
  ConfigPage page;
  storage::ScanOptions options;
  options.at = at;
  options.range = {RecordKey(Table::kShards, from), PrefixEnd(Prefix(Table::kShards))};
  bool valid = true;
  auto scanned =
      reader.Scan(options, [&](const std::string& key, Timestamp, const storage::Version& version) {
        if (page.shards.size() == most) {
          page.next_key = std::string(NameOf(key));
          return false;
        }
        auto shard = DecodeShard(version.value);
        valid = shard.has_value();
        if (valid) page.shards.emplace_back(NameOf(key), *shard);
        return valid;
      });
  if (!scanned.ok()) return scanned.status();
  if (!valid) return absl::DataLossError("the controller's record of a shard is malformed");
  return page;
}

}  // namespace kvd::shardctrler
