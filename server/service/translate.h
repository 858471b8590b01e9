// Between the public messages and the state machine's commands. Nothing but translation.
#pragma once

#include "absl/status/statusor.h"
#include "client/src/items.h"
#include "kvd/v1/cluster.pb.h"
#include "kvd/v1/kv.pb.h"
#include "raft/core/core.h"
#include "server/shard/data_group.h"

namespace kvd::service {

using client::HeaderOf;
using client::IsRead;
using client::MutableHeaderOf;
using client::RequestItem;
using client::ResponseItem;
using client::RoutingKey;

// The command a write stands for. Checks checksums that the client made, makes missing ones.
// INVALID_ARGUMENT names what is wrong. Requires: !IsRead(item). Takes the item's bytes.
absl::StatusOr<shard::Command> ToCommand(RequestItem* item);
// Fills the response of a write. Requires: result.status is OK.
void ToResponse(const RequestItem& item, const shard::CommandResult& result, ResponseItem* out);

absl::StatusOr<shard::ReadSpec> ToReadSpec(const v1::ReadOptions& options);
absl::Status CheckKey(std::string_view field, std::string_view key);
absl::Status CheckRange(const v1::KeyRange& range);
void ToVersion(Timestamp timestamp, const storage::Version& version, bool keys_only,
               v1::Version* out);

void SetError(const absl::Status& status, ResponseItem* out);
absl::Status ErrorOf(const ResponseItem& item);
void ToShard(GroupId group, const shard::ShardDescriptor& shard, v1::ShardDescriptor* out);

}  // namespace kvd::service
