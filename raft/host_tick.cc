// What time brings: heartbeats and elections, and how long they take.
#include <algorithm>

#include "proto/fault_point.h"
#include "raft/host_group.h"

namespace kvd::raft {

void Host::Tick() {
  KVD_FAULT_POINT(kTick);
  auto now = loop_->Now();
  bool truncate = now >= next_truncate_;
  if (truncate) next_truncate_ = now + options_.truncate_interval;
  for (auto& [id, group] : groups_) {
    if (group->installing || group->tombstone_written) continue;
    group->core->Tick(now);
    if (truncate) MaybeTruncate(*group);
    if (group->core->NeedsRepair()) ReportDamage(*group);
    // An idle group costs no turn.
    if (group->core->HasOutput() || RoleChanged(*group)) Schedule(*group);
  }
  ticks_calmly_ = std::all_of(groups_.begin(), groups_.end(),
                              [now](const auto& item) { return item.second->core->IsCalm(now); });
  AwaitTick();
}

void Host::AwaitTick() {
  Duration interval = ticks_calmly_ ? options_.core.heartbeat_interval / 2 : options_.tick_interval;
  tick_timer_ = loop_->After(UntilNext(loop_->Now(), interval), [this] {
    loop_->Post([timer = std::shared_ptr<Timer>(std::move(tick_timer_))] {});
    Tick();
  });
}

void Host::ReportDamage(Group& group) {
  auto index = group.core->Unrepairable();
  if (!index || group.damage_reported) return;
  group.damage_reported = true;
  if (on_unrepairable) on_unrepairable(group.id, *index);
}

std::map<StoreId, Duration> Host::RoundTrips() const {
  std::map<StoreId, Duration> out;
  for (const auto& [id, group] : groups_) {
    if (!group->core->IsLeader()) continue;
    for (const auto& [peer, progress] : group->core->progress()) {
      StoreId store = group->core->configuration().StoreOf(peer);
      if (!store || progress.round_trip == Duration::zero()) continue;
      auto [it, is_new] = out.try_emplace(store, progress.round_trip);
      if (!is_new) it->second = std::min(it->second, progress.round_trip);
    }
  }
  return out;
}

}  // namespace kvd::raft
