#include "client/src/routing.h"

#include <algorithm>

namespace kvd::client {

v1::RoutingRequest Routing::Request() const {
  v1::RoutingRequest request;
  request.set_version(version_.value());
  if (!next_key_.empty()) {
    request.set_version(coming_version_.value());
    request.set_next_key(next_key_);
  }
  return request;
}

v1::RoutingResponse Routing::Known() const {
  v1::RoutingResponse known;
  for (const auto& [id, store] : stores_) {
    auto* out = known.add_stores();
    out->set_store_id(id.value());
    out->set_address(store.address);
    out->set_state(store.gone ? out->GONE : out->SERVING);
  }
  for (const auto& [id, members] : groups_) {
    auto* out = known.add_groups();
    out->set_group_id(id.value());
    for (const Member& m : members) {
      auto* replica = out->add_replicas();
      replica->set_replica_id(m.replica.value());
      replica->set_store_id(m.store.value());
    }
  }
  return known;
}

void Routing::Take(const v1::RoutingResponse& answer) {
  Timestamp version(answer.version());
  if (version < version_) return;
  for (const auto& store : answer.stores()) {
    stores_[StoreId(store.store_id())] = {store.address(),
                                          store.state() == v1::RoutingResponse::Store::GONE};
  }
  if (answer.whole() && !answer.groups().empty()) groups_.clear();
  for (uint64_t removed : answer.removed_groups()) groups_.erase(GroupId(removed));
  for (const auto& group : answer.groups()) {
    auto& members = groups_[GroupId(group.group_id())];
    members.clear();
    bool led = false;
    auto leader = leaders_.find(GroupId(group.group_id()));
    for (const auto& r : group.replicas()) {
      members.push_back({ReplicaId(r.replica_id()), StoreId(r.store_id())});
      led = led || (leader != leaders_.end() && leader->second == StoreId(r.store_id()));
    }
    // Who has left does not lead any more.
    if (leader != leaders_.end() && !led) leaders_.erase(leader);
  }
  config_ = ConfigNumber(answer.config());
  TakeShards(answer);
}

// A whole map replaces what is known once its last page is there.
void Routing::TakeShards(const v1::RoutingResponse& answer) {
  Timestamp version(answer.version());
  auto put = [&answer](Shards* shards) {
    for (const auto& s : answer.shards()) {
      (*shards)[s.start()] = {ShardId(s.shard_id()), Epoch(s.epoch()), GroupId(s.group_id())};
    }
  };
  if (!answer.whole()) {
    for (const std::string& start : answer.removed_shards()) shards_.erase(start);
    put(&shards_);
    version_ = version;
    return;
  }
  if (version != coming_version_) {
    coming_.clear();
    next_key_.clear();
    coming_version_ = version;
  }
  put(&coming_);
  next_key_ = answer.next_key();
  if (!next_key_.empty()) return;
  shards_ = std::move(coming_);
  coming_.clear();
  coming_version_ = Timestamp();
  version_ = version;
}

const Routing::Shard* Routing::Find(std::string_view key) const {
  auto it = shards_.upper_bound(key);
  return it == shards_.begin() ? nullptr : &std::prev(it)->second;
}

KeyRange Routing::RangeAt(std::string_view key) const {
  auto next = shards_.upper_bound(key);
  KeyRange range;
  if (next != shards_.begin()) range.start = std::prev(next)->first;
  if (next != shards_.end()) range.end = next->first;
  return range;
}

std::string Routing::AddressOf(StoreId store) const {
  auto it = stores_.find(store);
  return it == stores_.end() ? "" : it->second.address;
}

std::vector<std::string> Routing::AddressesBehind(StoreId store, size_t most) const {
  std::vector<std::string> out;
  auto it = stores_.upper_bound(store);
  for (size_t seen = 0; seen < stores_.size() && out.size() < most; ++seen, ++it) {
    if (it == stores_.end()) it = stores_.begin();
    if (!it->second.gone && !it->second.address.empty()) out.push_back(it->second.address);
  }
  return out;
}

StoreId Routing::LeaderOf(GroupId group) const {
  auto told = leaders_.find(group);
  if (told != leaders_.end() && told->second) return told->second;
  auto members = groups_.find(group);
  if (members == groups_.end() || members->second.empty()) return StoreId();
  return members->second.front().store;
}

void Routing::NoteAddress(StoreId store, const std::string& address, bool itself) {
  if (address.empty()) return;
  Store& known = stores_[store];
  if (known.address.empty() || (itself && !known.gone)) known.address = address;
}

void Routing::NoteUnhelpful(GroupId group, StoreId store) {
  if (LeaderOf(group) != store) return;
  auto known = groups_.find(group);
  if (known == groups_.end() || known->second.empty()) {
    leaders_.erase(group);
    return;
  }
  const std::vector<Member>& members = known->second;
  auto at = std::find_if(members.begin(), members.end(),
                         [store](const Member& m) { return m.store == store; });
  bool last = at == members.end() || std::next(at) == members.end();
  leaders_[group] = last ? members.front().store : std::next(at)->store;
}

void Routing::NoteMoved(std::string_view key, ShardId shard, Epoch epoch, GroupId group) {
  auto it = shards_.upper_bound(key);
  if (it == shards_.begin()) return;
  Shard& known = std::prev(it)->second;
  // Of another range it says nothing about what lies here.
  if (known.id == shard && known.epoch < epoch) known = {shard, epoch, group};
}

}  // namespace kvd::client
