// What kvctl shows of one store, group or shard, and of the configs, as text or as JSON. Names and
// keys that stores send are escaped. Pure functions.
#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "kvd/v1/cluster.pb.h"
#include "kvd/v1/controller.pb.h"

namespace kvd::kvctl {

// A store, and the replicas that `groups` have on it.
std::string StoreText(const v1::ListStoresResponse::Store& store,
                      const v1::ListGroupsResponse& groups, bool json);

// A group, what it says of its replicas, or why it says nothing, and its shards in `config`, which
// has loads: in text the ten that are asked most often, in JSON all their ids.
std::string OneGroupText(const v1::ListGroupsResponse::Group& group,
                         const absl::StatusOr<v1::GroupStatus>& status,
                         const v1::QueryResponse& config, bool json);

// A shard, its group, and what is open on it, if anything is. `group` may be empty.
std::string OneShardText(const v1::DescribeShardResponse& shard,
                         const std::optional<v1::ListGroupsResponse::Group>& group,
                         const std::optional<v1::ListOperationsResponse::Operation>& operation,
                         bool json);

// `now` on the wall clock that the timestamps follow.
std::string ConfigsText(const v1::ListConfigsResponse& configs, absl::Time now);

}  // namespace kvd::kvctl
