#include "server/node/groups.h"

#include "absl/strings/str_cat.h"
#include "proto/check.h"
#include "proto/fault_point.h"
#include "server/storage/mvcc_key.h"

namespace kvd::node {

Groups::~Groups() = default;

absl::StatusOr<LocalGroup> Groups::OpenOne(GroupId id) {
  LocalGroup local;
  shard::DataGroupOptions options = options_;
  if (id == shardctrler::kControllerGroup) {
    local.machine = std::make_unique<shardctrler::Machine>();
    options.machine = local.machine.get();
  }
  auto opened = shard::DataGroup::Open(engine_, id, options);
  if (!opened.ok()) return opened.status();
  local.group = *std::move(opened);
  return local;
}

absl::Status Groups::Open(const std::vector<GroupId>& ids) {
  groups_.clear();
  for (GroupId id : ids) {
    auto local = OpenOne(id);
    if (!local.ok()) return local.status();
    groups_[id] = *std::move(local);
  }
  return absl::OkStatus();
}

absl::Status Groups::Start(const GroupEnvironment& environment, std::vector<raft::GroupLog> logs) {
  environment_ = environment;
  for (raft::GroupLog& log : logs) {
    GroupId id = log.group;
    if (log.removed) {
      // The process may have ended before its state was erased.
      removed_[id] = log.replica;
      Erase(id);
      continue;
    }
    auto opened = groups_.extract(id);
    KVD_CHECK(!opened.empty());
    absl::Status started = StartOne(std::move(log), std::move(opened.mapped()));
    if (!started.ok()) return started;
  }
  return absl::OkStatus();
}

absl::Status Groups::StartOne(raft::GroupLog log, LocalGroup local) {
  GroupId id = log.group;
  const GroupEnvironment& e = environment_;
  if (set_up_) set_up_(local.group.get());
  local.group->Attach(e.loop, e.host, e.verifier, e.rebuilder, e.disk);
  local.change = std::make_unique<ReplicaChange>(e.loop, e.host, local.group.get());
  absl::Status started = e.host->StartGroup(std::move(log), local.group.get());
  if (!started.ok()) return started;
  groups_[id] = std::move(local);
  ShareRowCache();
  if (on_created) on_created(id);
  return absl::OkStatus();
}

void Groups::Detach() {
  for (auto& [id, local] : groups_) {
    local.group->Detach();
    local.change.reset();
  }
}

LocalGroup* Groups::Find(GroupId id) {
  auto it = groups_.find(id);
  return it == groups_.end() ? nullptr : &it->second;
}

ReplicaId Groups::ReplicaOf(GroupId id) const {
  auto it = groups_.find(id);
  return it == groups_.end() ? ReplicaId() : environment_.host->core(id).id();
}

void Groups::Create(GroupId id, ReplicaId replica, const raft::Configuration& voters, Done done) {
  if (ReplicaOf(id) == replica) return done(absl::OkStatus());
  auto removed = removed_.find(id);
  if (removed != removed_.end() && replica <= removed->second) {
    return done(absl::FailedPreconditionError(absl::StrCat(
        "replica ", replica.value(), " of group ", id.value(), " was removed from this store")));
  }
  if (groups_.contains(id) || creating_.contains(id)) {
    return done(absl::FailedPreconditionError(
        absl::StrCat("another replica of group ", id.value(), " is on this store")));
  }
  creating_[id] = replica;
  raft::GroupLog log;
  log.group = id;
  log.replica = replica;
  log.start.configuration = voters;
  environment_.host->CreateGroup(
      id, replica, voters,
      [this, alive = std::weak_ptr<bool>(alive_), log, done = std::move(done)]() mutable {
        if (alive.expired()) return;
        // Unless it was removed meanwhile, and perhaps another one is on its way.
        auto creating = creating_.find(log.group);
        if (creating == creating_.end() || creating->second != log.replica)
          return done(absl::AbortedError("the replica was removed while it was created"));
        creating_.erase(creating);
        KVD_FAULT_POINT(kReplicaCreated);
        auto local = OpenOne(log.group);
        absl::Status started =
            local.ok() ? StartOne(std::move(log), *std::move(local)) : local.status();
        // Nobody else may ever read there: with no word of it, no replica could come here again.
        if (absl::IsDataLoss(started)) environment_.rebuilder->Report(started);
        done(started);
      });
}

void Groups::Erase(GroupId id) {
  auto [begin, end] = storage::GroupBounds(id);
  auto batch = engine_->NewBatch();
  batch->DeleteRange(begin, end);
  // The engine's own failures are seen to where it is opened.
  (void)engine_->Write(*batch);
}

// The tombstone first: a crash in between erases the rest at the next start.
void Groups::Remove(GroupId id, ReplicaId replica, Done done) {
  ReplicaId here = ReplicaOf(id);
  // An older one is gone, or will never be: what is here now stays.
  if (replica < here || removed_[id] >= replica) return done(absl::OkStatus());
  if (here && here != replica) {
    return done(absl::FailedPreconditionError(
        absl::StrCat("replica ", here.value(), " of group ", id.value(), " is still here")));
  }
  removed_[id] = replica;
  creating_.erase(id);
  if (LocalGroup* local = Find(id)) {
    if (on_removing) on_removing(id);
    local->group->Detach();
    local->change.reset();
  }
  environment_.host->RemoveGroup(
      id, replica, [this, id, alive = std::weak_ptr<bool>(alive_), done = std::move(done)] {
        if (alive.expired()) return;
        KVD_FAULT_POINT(kBeforeErase);
        Erase(id);
        done(absl::OkStatus());
      });
  if (LocalGroup* local = Find(id)) {
    // What waits for it to lead is told.
    local->group->OnRoleChange(false, Term());
    groups_.erase(id);
    ShareRowCache();
  }
}

void Groups::ShareRowCache() {
  constexpr size_t kControllerPart = 32;
  size_t all = options_.row_cache_bytes;
  size_t controllers = groups_.contains(shardctrler::kControllerGroup) ? 1 : 0;
  size_t rest = all - controllers * (all / kControllerPart);
  for (auto& [id, local] : groups_) {
    bool controller = id == shardctrler::kControllerGroup;
    local.group->ResizeRowCache(controller ? all / kControllerPart
                                           : rest / (groups_.size() - controllers));
  }
}

void Groups::RemoveWhoLeft() {
  std::vector<GroupId> left;
  for (const auto& [id, local] : groups_) {
    if (environment_.host->core(id).removed()) left.push_back(id);
  }
  for (GroupId id : left) Remove(id, ReplicaOf(id), [](const absl::Status&) {});
}

}  // namespace kvd::node
