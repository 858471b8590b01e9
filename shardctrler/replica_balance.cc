#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "shardctrler/replica_round.h"

namespace kvd::shardctrler {

// From the fullest store to one that is emptier even afterwards. Who has nothing to give is not
// asked again: others only get fuller meanwhile.
void Replicas::BalanceStores() {
  using Fullness = std::pair<double, StoreId>;
  std::set<Fullness> fullest;
  for (StoreId id : placement_.usable()) fullest.emplace(-placement_.Fullness(id), id);
  while (!fullest.empty() && left_ > 0) {
    auto [fullness, from] = *fullest.begin();
    // Nor has anybody who is emptier.
    if (*placement_.LeastFullWithOne() >= -fullness) return;
    fullest.erase(fullest.begin());
    if (BalanceOne(from)) fullest.emplace(-placement_.Fullness(from), from);
  }
}

bool Replicas::BalanceOne(StoreId from) {
  for (GroupId id : state_.group_table().On(from)) {
    const Group& group = *state_.FindGroup(id);
    if (!IsFree(id, group) || !placement_.HasQuorum(group)) continue;
    auto here = std::find_if(group.replicas.begin(), group.replicas.end(),
                             [from](const Replica& r) { return r.store == from; });
    std::vector<StoreId> others = StoresOf(group);
    std::erase(others, from);
    auto best = placement_.Best(others);
    if (!best || *best == from) continue;
    // Else it would come back.
    if (placement_.FullnessWith(*best, 1) >= placement_.Fullness(from)) continue;
    Change(id, {*best}, {*here},
           absl::StrCat("balance: store ", from.value(), " has more replicas than store ",
                        best->value()));
    return true;
  }
  return false;
}

}  // namespace kvd::shardctrler
