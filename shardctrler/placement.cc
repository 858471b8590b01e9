#include "shardctrler/placement.h"

#include <tuple>

namespace kvd::shardctrler {

Placement::Placement(const State& state, const View& view) : state_(state) {
  Duration down = std::chrono::seconds(state.settings()[Setting::kStoreDownSeconds]);
  // Who was silent for so short a time may just be restarting: it gets nothing new meanwhile.
  constexpr Duration kSilent = std::chrono::seconds(10);
  for (const auto& [id, store] : state.stores()) {
    auto told = view.silence.find(id);
    Duration silence = told == view.silence.end() ? Duration::zero() : told->second;
    if (store.state == StoreState::kGone || silence >= kSilent) silent_.insert(id);
    if (store.state == StoreState::kServing) ++staying_;
    if (view.load != nullptr && view.load->IsSlow(id)) slow_.insert(id);
    auto labels = store.AllLabels();
    if (auto zone = labels.find("zone"); zone != labels.end()) zones_[id] = zone->second;
    if (store.state != StoreState::kServing || silence >= down) {
      leaving_.insert(id);
    } else if (silence < kSilent) {
      usable_.insert(id);
    }
  }
  for (const auto& [id, group] : state.groups()) {
    for (const Replica& r : group.replicas) Add(r.store);
    if (!group.operation) continue;
    const Operation& o = *state.FindOperation(group.operation);
    if (o.kind != OperationKind::kChangeReplicas) continue;
    for (const Replica& r : o.added) Add(r.store);
    for (ReplicaId removed : o.removed) {
      for (const Replica& r : group.replicas) {
        if (r.id == removed) Remove(r.store);
      }
    }
  }
}

bool Placement::HasQuorum(const Group& group) const {
  size_t heard = 0;
  for (const Replica& r : group.replicas) heard += silent_.contains(r.store) ? 0 : 1;
  return heard > group.replicas.size() / 2;
}

const std::string& Placement::ZoneOf(StoreId store) const {
  static const std::string none;
  auto zone = zones_.find(store);
  return zone == zones_.end() ? none : zone->second;
}

// Stores that name no zone share none.
size_t Placement::InZone(const std::string& zone, const std::set<StoreId>& stores) const {
  size_t count = 0;
  for (StoreId s : stores) count += !zone.empty() && ZoneOf(s) == zone ? 1 : 0;
  return count;
}

double Placement::FullnessWith(StoreId store, int more) const {
  auto it = replicas_.find(store);
  int64_t replicas = (it == replicas_.end() ? 0 : it->second) + more;
  return static_cast<double>(replicas) / state_.FindStore(store)->cores;
}

double Placement::Fullness(StoreId store) const { return FullnessWith(store, 0); }

std::optional<StoreId> Placement::Best(const std::set<StoreId>& stores) const {
  std::optional<std::tuple<bool, size_t, double, StoreId>> best;
  for (StoreId candidate : usable_) {
    if (stores.contains(candidate)) continue;
    std::tuple now(slow_.contains(candidate), InZone(ZoneOf(candidate), stores),
                   FullnessWith(candidate, 1), candidate);
    if (!best || now < *best) best = now;
  }
  if (!best) return std::nullopt;
  return std::get<StoreId>(*best);
}

}  // namespace kvd::shardctrler
