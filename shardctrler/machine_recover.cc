// After a majority of a group was lost for good, and it was brought back from one replica: the
// controller's own log may lack entries that others have acted upon, and groups have other members
// than the records say.
#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "shardctrler/machine.h"

namespace kvd::shardctrler {
namespace {

// More than entries that are lost can have given out: stores and groups number with the hardware.
constexpr uint64_t kHardwareSkipped = 1'000;
constexpr uint64_t kIdsSkipped = 1 << 20;

bool Has(const std::vector<Replica>& replicas, ReplicaId id) {
  return std::any_of(replicas.begin(), replicas.end(),
                     [id](const Replica& r) { return r.id == id; });
}

absl::Status CheckMembers(const std::vector<Replica>& members, const State& state) {
  if (members.empty()) return absl::InvalidArgumentError("replicas: a group has some");
  std::set<StoreId> stores;
  for (const Replica& r : members) {
    if (state.FindStore(r.store) == nullptr)
      return absl::NotFoundError(absl::StrCat("store ", r.store.value(), " is not known"));
    if (r.id >= state.ids().next_replica || !stores.insert(r.store).second)
      return absl::InvalidArgumentError(absl::StrCat("replica ", r.id.value(), " can't be"));
  }
  return absl::OkStatus();
}

}  // namespace

// Written in one go with the entry that makes one replica the only voter, so it can't be refused.
// No id, operation or config that the lost entries gave out means another thing from now on; and
// everybody is told everything anew, whatever they were told of it.
void Machine::Recover(const Command& command, const Context& context) {
  Ids ids = state_.ids();
  ReplicaId first = ids.next_replica;
  ids.config = ids.config + kHardwareSkipped;
  ids.next_store = ids.next_store + kHardwareSkipped;
  ids.next_group = ids.next_group + kHardwareSkipped;
  ids.next_replica = ids.next_replica + kIdsSkipped;
  ids.next_shard = ids.next_shard + kIdsSkipped;
  ids.operations_from += kIdsSkipped;
  ids.lost_replicas.emplace_back(first, ids.next_replica);
  state_.Put(ids, context.records);
  for (StoreId id : command.stores) {
    const Store* known = state_.FindStore(id);
    if (known == nullptr || known->state == StoreState::kGone) continue;
    Store store = *known;
    store.state = StoreState::kGone;
    state_.Put(id, store, context.records);
  }
  state_.PutConfig(context.position.timestamp, context.records);
  changes_.Restart(context.position.timestamp);
}

// What a leader says counts only where the record is known to be wrong: it names replicas that were
// put out, or lacks some that may have come in by entries that were lost. Anything else is a change
// under way, whose operation tells when it is done.
absl::Status Machine::AdoptMembers(const Command& command, const Context& context) {
  const Operation& told = command.operation;
  const Group* known = state_.FindGroup(told.group);
  if (known == nullptr)
    return absl::NotFoundError(absl::StrCat("there is no group ", told.group.value()));
  Group group = *known;
  bool expelled =
      std::erase_if(group.replicas, [&](const Replica& r) {
        return std::find(told.removed.begin(), told.removed.end(), r.id) != told.removed.end();
      }) > 0;
  bool lost = std::any_of(told.added.begin(), told.added.end(), [&](const Replica& r) {
    return state_.ids().MayBeLost(r.id) && !Has(group.replicas, r.id);
  });
  if (!expelled && !lost) {
    return absl::FailedPreconditionError(
        absl::StrCat("group ", told.group.value(), ": its record is as it should be"));
  }
  absl::Status possible = CheckMembers(told.added, state_);
  if (!possible.ok()) return possible;
  if (lost || group.replicas.empty()) group.replicas = told.added;
  state_.Put(told.group, group, context.records);
  // It goes by members that are not those of now: it is taken back, unless it was carried out.
  const Operation* open = group.operation ? state_.FindOperation(group.operation) : nullptr;
  if (open != nullptr && open->kind == OperationKind::kChangeReplicas &&
      open->phase == Phase::kRunning) {
    Operation o = *open;
    o.phase = Phase::kCancelling;
    o.changed = context.position.timestamp;
    state_.Put(group.operation, o, context.records);
  }
  return absl::OkStatus();
}

}  // namespace kvd::shardctrler
