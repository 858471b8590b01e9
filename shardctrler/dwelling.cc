#include "shardctrler/dwelling.h"

#include <algorithm>

namespace kvd::shardctrler {

void Dwelling::Note(ShardId id, MonotonicTime until) {
  auto [it, is_new] = until_.try_emplace(id, until);
  if (!is_new && until <= it->second) return;
  if (!is_new) ends_.erase({it->second, id});
  it->second = until;
  ends_.emplace(until, id);
  ++version_;
}

void Dwelling::Follow(const State& state, MonotonicTime now) {
  for (; !ends_.empty() && ends_.begin()->first <= now; ++version_) {
    until_.erase(ends_.begin()->second);
    ends_.erase(ends_.begin());
  }
  if (followed_ == state.version()) return;
  followed_ = state.version();
  Duration dwell = std::chrono::seconds(state.settings()[Setting::kShardDwellSeconds]);
  // The log's timestamps rise: what is not above the last one seen was seen.
  Timestamp last = upto_;
  for (const auto& [id, o] : state.operations()) {
    if (o.kind != OperationKind::kMove || o.phase != Phase::kDone || o.changed <= upto_) continue;
    last = std::max(last, o.changed);
    Duration stays = o.by_hand ? std::max(dwell, kDwellByHand) : dwell;
    if (stays > Duration::zero()) Note(o.shard, now + stays);
  }
  upto_ = last;
}

void Dwelling::Clear() {
  uint64_t version = version_ + 1;
  *this = Dwelling();
  version_ = version;
}

}  // namespace kvd::shardctrler
