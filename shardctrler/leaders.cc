#include "shardctrler/leaders.h"

#include <algorithm>
#include <optional>

#include "shardctrler/load.h"

namespace kvd::shardctrler {
namespace {

// Who was silent for longer may be down.
constexpr Duration kHeardOf = std::chrono::seconds(3);

class Spreading {
 public:
  Spreading(const State& state, const View& view) : state_(state), view_(view) {
    for (const auto& [group, store] : view.load->leaders()) {
      if (state.FindGroup(group) != nullptr) ++leads_[store];
    }
  }

  // Where the group should rather be led.
  std::optional<Transfer> For(GroupId id, const Group& group) {
    StoreId leader = view_.load->LeaderOf(id);
    if (!leader || group.state != GroupState::kServing || group.operation) return std::nullopt;
    bool leaves = !MayLead(leader, /*for_now=*/true);
    // It knows what the others were told: it goes when it has to.
    if (id == kControllerGroup && !leaves) return std::nullopt;
    StoreId best;
    for (const Replica& r : group.replicas) {
      if (r.store == leader || !MayLead(r.store, /*for_now=*/false)) continue;
      if (!best || leads_[r.store] < leads_[best]) best = r.store;
    }
    if (!leaves && state_.settings()[Setting::kAutoBalance] == 0) return std::nullopt;
    // Else it would come back.
    if (!best || (!leaves && leads_[best] + 1 >= leads_[leader])) return std::nullopt;
    --leads_[leader];
    ++leads_[best];
    return Transfer{id, leader, best};
  }

 private:
  // One that leads loses it only for a reason; one that does not gets it only if all is well.
  bool MayLead(StoreId id, bool for_now) const {
    const Store* store = state_.FindStore(id);
    if (store == nullptr || store->state != StoreState::kServing) return false;
    if (view_.load->IsSlow(id)) return false;
    if (for_now) return true;
    // It would hand over at once.
    const StoreReport* report = view_.load->Find(id);
    if (report != nullptr && report->disk_low) return false;
    auto silence = view_.silence.find(id);
    return silence == view_.silence.end() || silence->second < kHeardOf;
  }

  const State& state_;
  const View& view_;
  std::map<StoreId, size_t> leads_;
};

}  // namespace

std::vector<Transfer> SpreadLeaders(const State& state, const View& view, size_t most) {
  std::vector<Transfer> out;
  if (view.load == nullptr) return out;
  Spreading spreading(state, view);
  for (const auto& [id, group] : state.groups()) {
    if (out.size() >= most) break;
    if (auto transfer = spreading.For(id, group)) out.push_back(*transfer);
  }
  return out;
}

}  // namespace kvd::shardctrler
