#include "shardctrler/replicas.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "shardctrler/replica_round.h"

namespace kvd::shardctrler {

std::vector<Operation> Replicas::Run() {
  Repair();
  CreateGroups();
  if (state_.settings()[Setting::kAutoBalance] != 0) BalanceStores();
  return std::move(operations_);
}

size_t Replicas::VotersWanted(GroupId id, size_t stores) const {
  // The controller is asked little and has to stand the most.
  uint64_t wanted = id == kControllerGroup ? 5 : state_.settings()[Setting::kReplicas];
  return VotersFor(wanted, stores);
}

void Replicas::Change(GroupId id, const std::vector<StoreId>& added,
                      const std::vector<Replica>& removed, std::string reason) {
  Operation o;
  o.kind = OperationKind::kChangeReplicas;
  o.group = id;
  o.reason = std::move(reason);
  for (StoreId store : added) {
    o.added.push_back({ReplicaId(), store});
    placement_.Add(store);
  }
  for (const Replica& r : removed) {
    o.removed.push_back(r.id);
    placement_.Remove(r.store);
  }
  operations_.push_back(std::move(o));
  changing_.insert(id);
  --left_;
}

// As many as the cores of the stores that serve can lead.
void Replicas::CreateGroups() {
  uint64_t cores = 0;
  for (StoreId id : placement_.usable()) cores += state_.FindStore(id)->cores;
  uint64_t wanted =
      std::min(std::max<uint64_t>(cores / state_.settings()[Setting::kCoresPerGroup], 1),
               state_.settings()[Setting::kGroupsMax]);
  uint64_t there = state_.groups().size() - 1;  // without the controller's
  size_t replicas = VotersFor(state_.settings()[Setting::kReplicas], placement_.usable().size());
  for (; there < wanted && left_ > 0 && replicas > 0; ++there) {
    Operation o;
    o.kind = OperationKind::kCreateGroup;
    o.reason = absl::StrCat("growth: ", there, " of ", wanted, " groups");
    std::vector<StoreId> stores;
    while (stores.size() < replicas) {
      StoreId best = *placement_.Best(stores);
      stores.push_back(best);
      o.added.push_back({ReplicaId(), best});
      placement_.Add(best);
    }
    operations_.push_back(std::move(o));
    --left_;
  }
}

size_t VotersFor(size_t wanted, size_t stores) {
  size_t most = std::min(wanted, stores);
  return most == 0 ? 0 : most - (most % 2 == 0 ? 1 : 0);
}

std::vector<Operation> PlaceReplicas(const State& state, const View& view, size_t most) {
  return Replicas(state, view, most).Run();
}

std::vector<OperationId> Hopeless(const State& state, const View& view) {
  std::vector<OperationId> found;
  std::optional<Placement> placement;  // made only where something waits
  for (const auto& [id, o] : state.operations()) {
    bool waits =
        o.phase == Phase::kRunning && (o.kind == OperationKind::kChangeReplicas ||
                                       (o.kind == OperationKind::kCreateGroup && !o.shard));
    if (!waits) continue;
    if (!placement) placement.emplace(state, view);
    bool hopeless = std::any_of(o.added.begin(), o.added.end(),
                                [&](const Replica& r) { return !placement->IsUsable(r.store); });
    if (hopeless) found.push_back(id);
  }
  return found;
}

}  // namespace kvd::shardctrler
