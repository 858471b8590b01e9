// What must hold of a simulated cluster once it has come to rest.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "proto/bytes.h"
#include "proto/check.h"
#include "server/shard/state_hash.h"
#include "shardctrler/scheduler.h"
#include "tests/sim/world.h"

namespace kvd::sim {

bool World::Settled() {
  const shardctrler::State* known = state();
  if (known == nullptr || known->open_operations() > 0) return false;
  for (const auto& [nonce, joining] : joined_) {
    auto store = stores_.find(joining.id);
    if (store == stores_.end()) return false;
    if (!store->second->running() && !store->second->lost()) return false;
  }
  shardctrler::View view = Leader()->node().controller()->ViewNow();
  if (!options_.by_hand && !shardctrler::Schedule(*known, view).empty()) return false;
  for (const auto& [id, group] : known->groups()) {
    NodeStore* leader = Leader(id);
    if (leader == nullptr || !leader->node().groups().Find(id)->group->ready()) return false;
    Index applied = leader->process().host->core(id).applied_index();
    for (const shardctrler::Replica& r : group.replicas) {
      NodeStore& store = *stores_.at(r.store);
      if (!store.running() || store.node().groups().ReplicaOf(id) != r.id) return false;
      if (store.process().host->core(id).applied_index() < applied) return false;
    }
  }
  // Replicas that belong nowhere are gone, and every store knows the newest map.
  for (auto& [id, store] : stores_) {
    if (store->lost()) continue;
    for (const auto& [group, local] : store->node().groups().all()) {
      const shardctrler::Group* record = known->FindGroup(group);
      ReplicaId replica = store->node().groups().ReplicaOf(group);
      bool wanted =
          record != nullptr && std::any_of(record->replicas.begin(), record->replicas.end(),
                                           [replica](const auto& r) { return r.id == replica; });
      if (!wanted) return false;
    }
    if (store->node().routing().config() != known->ids().config) return false;
  }
  return true;
}

void World::Settle(Duration limit) {
  bool settled = Await([this] { return Settled(); }, limit);
  KVD_CHECK_MSG(settled, Describe());
}

std::string World::Describe() {
  std::string text = absl::StrCat("seed ", options_.seed, "\n");
  const shardctrler::State* known = state();
  if (known != nullptr) {
    for (const auto& [id, store] : known->stores())
      absl::StrAppend(&text, "store ", id.value(), " ", store.address, " ",
                      ToAbsl(ToString(store.state)), "\n");
    for (const auto& [id, group] : known->groups()) {
      absl::StrAppend(&text, "group ", id.value(), " ", ToAbsl(ToString(group.state)));
      for (const auto& r : group.replicas)
        absl::StrAppend(&text, " ", r.id.value(), "@", r.store.value());
      absl::StrAppend(&text, "\n");
    }
    for (const auto& [start, shard] : known->shards().shards())
      absl::StrAppend(&text, "shard ", shard.id.value(), " from ", Printable(start), " epoch ",
                      shard.epoch.value(), " group ", shard.group.value(), "\n");
    for (const auto& [id, o] : known->operations()) {
      if (!shardctrler::IsOpen(o.phase)) continue;
      absl::StrAppend(&text, "operation ", id.value(), " ", ToAbsl(ToString(o.kind)), " ",
                      ToAbsl(ToString(o.phase)), " group ", o.group.value(), " to ", o.to.value(),
                      " shard ", o.shard.value(), ": ", Leader()->node().controller()->Trouble(id),
                      "\n");
    }
    for (const auto& o : shardctrler::Schedule(*known, Leader()->node().controller()->ViewNow()))
      absl::StrAppend(&text, "wanted: ", ToAbsl(ToString(o.kind)), " ", o.reason, "\n");
  }
  for (auto& [id, store] : stores_) {
    absl::StrAppend(&text, "on store ", id.value(),
                    store->running() ? ":"
                    : store->lost()  ? " (lost)"
                                     : " (down)");
    if (!store->StateIsWhole()) absl::StrAppend(&text, " (damaged)");
    if (store->running() && !store->process().rebuilder->damage().empty())
      absl::StrAppend(&text, " (reported: ", store->process().rebuilder->damage(), ")");
    if (!store->running()) continue;
    absl::StrAppend(&text, " config ", store->node().routing().config().value(), " asks store ",
                    store->node().routing().LeaderOf(shardctrler::kControllerGroup).value(),
                    store->node().reported() ? ", reported" : ", has not reported");
    for (const auto& [group, local] : store->node().groups().all()) {
      const raft::Core& core = store->process().host->core(group);
      absl::StrAppend(&text, "\n  group ", group.value(), " replica ", core.id().value(), " ",
                      raft::ToString(core.role()), " term ", core.term().value(), " applied ",
                      core.applied_index().value(), " of ", core.log().last_index().value(), " ",
                      core.configuration().ToString());
      for (const auto& [start, shard] : local.group->meta().shards.shards())
        absl::StrAppend(&text, " [", Printable(start), " ", ToAbsl(ToString(shard.state)), " e",
                        shard.epoch.value(), "]");
    }
    absl::StrAppend(&text, "\n");
  }
  for (auto& [nonce, joining] : joined_) {
    if (!joining.id) absl::StrAppend(&text, "joining: ", nonce, "\n");
  }
  return text;
}

// The controller's map and what the groups serve are the same.
void World::CheckAgreement(const shardctrler::State& state) {
  state.CheckState();
  for (auto it = state.shards().shards().begin(); it != state.shards().shards().end(); ++it) {
    const shard::ShardTable& table =
        Leader(it->second.group)->node().groups().Find(it->second.group)->group->meta().shards;
    const shard::ShardDescriptor* shard = table.Find(it->second.id);
    KVD_CHECK_MSG(shard != nullptr && shard->state == shard::ShardState::kServing &&
                      shard->epoch == it->second.epoch &&
                      shard->range == state.shards().RangeOf(it),
                  Describe());
  }
  for (const auto& [group, record] : state.groups()) {
    const shard::ShardTable& table =
        Leader(group)->node().groups().Find(group)->group->meta().shards;
    KVD_CHECK_MSG(table.shards().size() == state.shards().Of(group).size(), Describe());
    CheckReplicas(group, record);
  }
}

void World::CheckReplicas(GroupId group, const shardctrler::Group& record) {
  // Who votes is who the controller thinks does.
  const raft::Configuration& voters = Leader(group)->process().host->core(group).configuration();
  KVD_CHECK_MSG(voters.voters.size() == record.replicas.size() && voters.learners.empty(),
                Describe());
  for (const shardctrler::Replica& r : record.replicas)
    KVD_CHECK_MSG(voters.IsVoter(r.id), Describe());
  std::optional<uint64_t> hash;
  Index applied;
  for (const shardctrler::Replica& r : record.replicas) {
    NodeStore& store = *stores_.at(r.store);
    const shard::GroupMeta& meta = store.node().groups().Find(group)->group->meta();
    auto totals = shard::HashState(store.engine(), group, meta.safe_point, meta.clock);
    KVD_CHECK_MSG(totals.ok(), totals.status().ToString());
    // One that has gone on meanwhile has another state.
    if (hash && applied == meta.applied.index) KVD_CHECK_MSG(*hash == totals->hash, Describe());
    hash = totals->hash;
    applied = meta.applied.index;
  }
}

void World::ReadEverything() {
  std::set<std::string> keys;
  for (auto& client : clients_) {
    for (const auto& [key, operations] : client->history()) keys.insert(key);
  }
  if (clients_.empty()) return;
  for (const std::string& key : keys) {
    clients_[0]->Read(key);
    KVD_CHECK_MSG(Await([&] { return clients_[0]->idle(); }), Describe());
  }
}

void World::Check() {
  std::map<std::string, std::vector<check::Operation>> histories;
  for (auto& client : clients_) {
    for (auto& [key, operations] : client->history()) {
      auto& all = histories[key];
      all.insert(all.end(), operations.begin(), operations.end());
    }
  }
  for (const auto& [key, operations] : histories) {
    auto verdict = check::CheckLinearizable(operations);
    KVD_CHECK_MSG(verdict != check::Verdict::kUndecided,
                  absl::StrCat("seed ", options_.seed, ": the history of ", key,
                               " can't be decided: ", operations.size(), " operations"));
    KVD_CHECK_MSG(verdict == check::Verdict::kLinearizable,
                  absl::StrCat("seed ", options_.seed, ": the history of ", key,
                               " is not linearizable:\n", check::Explain(operations)));
  }
  const shardctrler::State* known = state();
  KVD_CHECK(known != nullptr);
  CheckAgreement(*known);
  CheckReads();
  CountOperations(*known);
}

void World::CountOperations(const shardctrler::State& state) {
  using shardctrler::OperationKind;
  for (const auto& [id, store] : state.stores())
    report_.drained += store.state == shardctrler::StoreState::kDraining ? 1 : 0;
  for (const auto& [id, o] : state.operations()) {
    bool done = o.phase == shardctrler::Phase::kDone;
    if (!done) ++report_.cancelled;
    if (!done) continue;
    report_.load_splits += o.kind == OperationKind::kSplit && o.reason.starts_with("load") ? 1 : 0;
    report_.small_merges +=
        o.kind == OperationKind::kMerge && o.reason.starts_with("small") ? 1 : 0;
    switch (o.kind) {
      case OperationKind::kMove: ++report_.moved; break;
      case OperationKind::kSplit: ++report_.split; break;
      case OperationKind::kMerge: ++report_.merged; break;
      case OperationKind::kCreateGroup: ++report_.groups_made; break;
      case OperationKind::kChangeReplicas: ++report_.replica_changes; break;
      case OperationKind::kRetireGroup: break;
    }
  }
}

}  // namespace kvd::sim
