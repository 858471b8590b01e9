#include "shardctrler/leaders.h"

#include <algorithm>
#include <cstdint>
#include <optional>

#include "absl/container/flat_hash_map.h"
#include "shardctrler/load.h"

namespace kvd::shardctrler {
namespace {

// Who was silent for longer may be down.
constexpr Duration kHeardOf = std::chrono::seconds(3);

class Spreading {
 public:
  Spreading(const State& state, const View& view)
      : view_(view), balances_(state.settings()[Setting::kAutoBalance] != 0) {
    for (const auto& [id, store] : state.stores())
      places_[id] = {view.load->LeadsOf(id), MayLead(id, store), MayLead(id, store) && IsWell(id)};
  }

  // Whether no group should be led elsewhere, wherever its replicas are.
  bool Rests() const {
    size_t most = 0, least = SIZE_MAX;
    for (const auto& [id, place] : places_) {
      if (place.leads > 0 && !place.may_keep) return false;
      most = std::max(most, place.leads);
      if (place.may_get) least = std::min(least, place.leads);
    }
    return !balances_ || least >= most || most - least <= 1;
  }

  // Where the group should rather be led.
  std::optional<Transfer> For(GroupId id, const Group& group, StoreId leader) {
    if (group.state != GroupState::kServing || group.operation) return std::nullopt;
    auto here = places_.find(leader);
    if (here == places_.end()) return std::nullopt;
    bool leaves = !here->second.may_keep;
    // It knows what the others were told: it goes when it has to.
    if (!leaves && (id == kControllerGroup || !balances_)) return std::nullopt;
    StoreId to;
    Place* best = nullptr;
    for (const Replica& r : group.replicas) {
      Place& place = places_.at(r.store);
      if (r.store == leader || !place.may_get) continue;
      if (best != nullptr && place.leads >= best->leads) continue;
      to = r.store;
      best = &place;
    }
    // Else it would come back.
    if (best == nullptr || (!leaves && best->leads + 1 >= here->second.leads)) return std::nullopt;
    --here->second.leads;
    ++best->leads;
    return Transfer{id, leader, to};
  }

 private:
  struct Place {
    size_t leads = 0;
    bool may_keep = false;  // one that leads loses it only for a reason
    bool may_get = false;   // one that does not gets it only if all is well
  };

  bool MayLead(StoreId id, const Store& store) const {
    return store.state == StoreState::kServing && !view_.load->IsSlow(id);
  }
  bool IsWell(StoreId id) const {
    // It would hand over at once.
    const StoreReport* report = view_.load->Find(id);
    if (report != nullptr && report->disk_low) return false;
    auto silence = view_.silence.find(id);
    return silence == view_.silence.end() || silence->second < kHeardOf;
  }

  const View& view_;
  const bool balances_;
  absl::flat_hash_map<StoreId, Place> places_;
};

}  // namespace

std::vector<Transfer> SpreadLeaders(const State& state, const View& view, size_t most) {
  std::vector<Transfer> out;
  if (view.load == nullptr) return out;
  Spreading spreading(state, view);
  if (spreading.Rests()) return out;
  auto leader = view.load->leaders().begin(), end = view.load->leaders().end();
  for (const auto& [id, group] : state.groups()) {
    if (out.size() >= most) break;
    while (leader != end && leader->first < id) ++leader;
    if (leader == end || leader->first != id) continue;
    if (auto transfer = spreading.For(id, group, leader->second)) out.push_back(*transfer);
  }
  return out;
}

}  // namespace kvd::shardctrler
