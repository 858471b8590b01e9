// What a controller's replica tells of the shard map. Pure.
#pragma once

#include "kvd/v1/routing.pb.h"
#include "shardctrler/machine.h"

namespace kvd::node {

// Shards in one answer of a whole map.
inline constexpr size_t kRoutingShardsMax = 20'000;

v1::RoutingResponse::Store StoreMessage(StoreId id, const shardctrler::Store& store);
v1::RoutingResponse::Group GroupMessage(GroupId id, const shardctrler::Group& group);
v1::RoutingResponse::Shard ShardMessage(const std::string& start, const shardctrler::Shard& shard);

// What has changed since the request's version, or the next page of everything.
v1::RoutingResponse AnswerRouting(const shardctrler::Machine& machine,
                                  const v1::RoutingRequest& request);

}  // namespace kvd::node
