#include "shardctrler/placement.h"

#include <algorithm>
#include <tuple>

namespace kvd::shardctrler {

std::vector<uint8_t> ClassesOf(const State& state, const View& view) {
  Duration down = std::chrono::seconds(state.settings()[Setting::kStoreDownSeconds]);
  // Who was silent for so short a time may just be restarting: it gets nothing new meanwhile.
  constexpr Duration kSilent = std::chrono::seconds(10);
  std::vector<uint8_t> classes;
  classes.reserve(state.stores().size());
  for (const auto& [id, store] : state.stores()) {
    auto told = view.silence.find(id);
    Duration silence = told == view.silence.end() ? Duration::zero() : told->second;
    bool slow = view.load != nullptr && view.load->IsSlow(id);
    classes.push_back(static_cast<uint8_t>((silence >= kSilent ? kSilentStore : 0) |
                                           (silence >= down ? kDownStore : 0) |
                                           (slow ? kSlowStore : 0)));
  }
  return classes;
}

Placement::Placement(const State& state, const View& view) {
  std::vector<uint8_t> classes = ClassesOf(state, view);
  std::map<std::string, Zone> zones = {{"", 0}};
  auto next = classes.begin();
  for (const auto& [id, store] : state.stores()) {
    uint8_t is = *next++;
    if (store.state == StoreState::kGone || (is & kSilentStore) != 0) silent_.insert(id);
    if (store.state == StoreState::kServing) ++staying_;
    Zone zone = zones.emplace(store.Label("zone"), static_cast<Zone>(zones.size())).first->second;
    places_[id] = {zone, (is & kSlowStore) != 0, store.cores,
                   static_cast<int64_t>(state.group_table().On(id).size())};
    if (store.state != StoreState::kServing || (is & kDownStore) != 0) {
      leaving_.insert(id);
    } else if ((is & kSilentStore) == 0) {
      usable_.insert(id);
    }
  }
  for (StoreId id : usable_) {
    const Place& place = places_.at(id);
    orders_[{place.slow, place.zone}].emplace(FullnessWith(id, 1), id);
  }
  for (const auto& [id, o] : state.operations()) {
    if (!IsOpen(o.phase) || o.kind != OperationKind::kChangeReplicas) continue;
    for (const Replica& r : o.added) Add(r.store);
    for (const Replica& r : state.FindGroup(o.group)->replicas) {
      if (std::find(o.removed.begin(), o.removed.end(), r.id) != o.removed.end()) Remove(r.store);
    }
  }
}

bool Placement::HasQuorum(const Group& group) const {
  size_t heard = 0;
  for (const Replica& r : group.replicas) heard += silent_.contains(r.store) ? 0 : 1;
  return heard > group.replicas.size() / 2;
}

void Placement::Count(StoreId store, int more) {
  Place& place = places_.at(store);
  Order* order = IsUsable(store) ? &orders_.at({place.slow, place.zone}) : nullptr;
  if (order != nullptr) order->erase({FullnessWith(store, 1), store});
  place.replicas += more;
  if (order != nullptr) order->emplace(FullnessWith(store, 1), store);
}

size_t Placement::InZone(Zone zone, const std::vector<StoreId>& stores) const {
  size_t count = 0;
  for (StoreId s : stores) count += zone != 0 && places_.at(s).zone == zone ? 1 : 0;
  return count;
}

double Placement::FullnessWith(StoreId store, int more) const {
  const Place& place = places_.at(store);
  return static_cast<double>(place.replicas + more) / place.cores;
}

std::optional<double> Placement::LeastFullWithOne() const {
  std::optional<double> least;
  for (const auto& [alike, order] : orders_) {
    if (!order.empty() && (!least || order.begin()->first < *least)) least = order.begin()->first;
  }
  return least;
}

StoreId Placement::Worst(const std::vector<StoreId>& stores) const {
  return *std::max_element(stores.begin(), stores.end(), [&](StoreId a, StoreId b) {
    auto rank = [&](StoreId id) {
      const Place& place = places_.at(id);
      return std::tuple(silent_.contains(id), place.slow, InZone(place.zone, stores),
                        FullnessWith(id, 0), id);
    };
    return rank(a) < rank(b);
  });
}

std::optional<StoreId> Placement::Best(const std::vector<StoreId>& stores) const {
  std::optional<std::tuple<bool, size_t, double, StoreId>> best;
  for (const auto& [alike, order] : orders_) {
    // Of those that are alike the first one that has none yet.
    auto first = std::find_if(order.begin(), order.end(), [&stores](const auto& candidate) {
      return std::find(stores.begin(), stores.end(), candidate.second) == stores.end();
    });
    if (first == order.end()) continue;
    std::tuple now(alike.slow, InZone(alike.zone, stores), first->first, first->second);
    if (!best || now < *best) best = now;
  }
  if (!best) return std::nullopt;
  return std::get<StoreId>(*best);
}

}  // namespace kvd::shardctrler
