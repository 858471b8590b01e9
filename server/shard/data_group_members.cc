// Who belongs to the cluster and the group: the registry of stores, and the configuration.
#include "absl/strings/str_cat.h"
#include "proto/check.h"
#include "server/shard/data_group.h"

namespace kvd::shard {

void DataGroup::ApplyConfiguration(const raft::Entry& entry, storage::WriteBatch& batch) {
  raft::Configuration before = meta_.applied.configuration;
  raft::Configuration& now = meta_.applied.configuration;
  KVD_CHECK(raft::Configuration::Decode(entry.data, &now));
  meta_.StoreConfiguration(batch, group_);
  if (now.IsJoint()) return;
  for (auto& [id, record] : meta_.stores) {
    if (before.Contains(record.replica) && !now.Contains(record.replica)) record.removed = true;
  }
  meta_.StoreStores(batch, group_);
}

void DataGroup::ExecuteMembers(const Command& command, CommandResult* result,
                               storage::WriteBatch& batch) {
  switch (command.kind) {
    case CommandKind::kBootstrap:
      if (!meta_.shards.empty()) {
        result->status = absl::FailedPreconditionError("the cluster is bootstrapped already");
        return;
      }
      meta_.cluster = command.cluster;
      InstallFirstShard(batch);
      meta_.stores[command.store] = {command.address, command.nonce, command.replica};
      meta_.next_store = command.store + 1;
      meta_.next_replica = command.replica + 1;
      break;
    case CommandKind::kJoin: {
      if (meta_.shards.empty()) {
        result->status = absl::UnavailableError("the cluster is not bootstrapped yet");
        return;
      }
      // A store that asks again, having missed the answer, keeps its ids.
      for (const auto& [id, record] : meta_.stores) {
        if (record.nonce != command.nonce) continue;
        if (record.removed) {
          result->status = absl::FailedPreconditionError(
              absl::StrCat("store ", id.value(),
                           " was removed from the cluster; empty its data "
                           "directory to join as a new one"));
          return;
        }
        result->store = id;
        result->replica = record.replica;
      }
      if (!result->store) {
        result->store = meta_.next_store;
        result->replica = meta_.next_replica;
        ++meta_.next_store;
        ++meta_.next_replica;
      }
      meta_.stores[result->store] = {command.address, command.nonce, result->replica};
      break;
    }
    case CommandKind::kStoreAddress:
      if (!meta_.stores.contains(command.store)) {
        result->status = absl::NotFoundError(
            absl::StrCat("store ", command.store.value(), " is not known to the cluster"));
        return;
      }
      meta_.stores[command.store].address = command.address;
      break;
    default: KVD_CHECK(false);
  }
  meta_.StoreStores(batch, group_);
}

}  // namespace kvd::shard
