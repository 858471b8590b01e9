#include "server/node/node_router.h"

namespace kvd::node {

using service::Route;

Route NodeRouter::To(GroupId group) {
  Route route;
  if (!group || stopped_) return route;
  route.group = group;
  if (LocalGroup* local = groups_->Find(group)) {
    route.here = local->group.get();
    route.leader = host_->LeaderStore(group);
  }
  if (!route.leader) {
    route.leader = routing_->LeaderOf(group);
    // It had a replica once.
    if (route.leader == self_ && route.here == nullptr) {
      routing_->NoteUnhelpful(group, self_);
      route.leader = routing_->LeaderOf(group);
    }
  }
  route.address = route.leader == self_ ? address_ : routing_->AddressOf(route.leader);
  return route;
}

Route NodeRouter::Find(std::string_view key) {
  const client::Routing::Shard* shard = routing_->Find(key);
  return To(shard == nullptr ? GroupId() : shard->group);
}

client::Routing::Shards::const_iterator NodeRouter::ShardBefore(std::string_view end) const {
  const auto& shards = routing_->shards();
  auto it = end.empty() ? shards.end() : shards.lower_bound(end);
  return it == shards.begin() ? shards.end() : std::prev(it);
}

Route NodeRouter::FindBefore(std::string_view end) {
  auto shard = ShardBefore(end);
  return To(shard == routing_->shards().end() ? GroupId() : shard->second.group);
}

std::vector<service::LocatedShard> NodeRouter::Locate(std::string_view start, std::string_view end,
                                                      size_t most) {
  std::vector<service::LocatedShard> out;
  const auto& shards = routing_->shards();
  auto it = shards.upper_bound(start);
  if (it != shards.begin()) --it;
  for (; it != shards.end() && out.size() < most; ++it) {
    if (!end.empty() && it->first >= end) break;
    auto next = std::next(it);
    KeyRange range{it->first, next == shards.end() ? "" : next->first};
    out.push_back({range, it->second.id, it->second.epoch, To(it->second.group)});
  }
  return out;
}

ErrorInfo NodeRouter::WhoHas(std::string_view key, bool before, GroupId not_this) {
  ErrorInfo info;
  info.kind = ErrorKind::kShardMoved;
  // A group that is handing the shard over knows first.
  if (LocalGroup* local = groups_->Find(not_this)) {
    const shard::ShardTable& shards = local->group->meta().shards;
    const shard::ShardDescriptor* shard = before ? shards.Before(key) : shards.At(key);
    if (shard != nullptr && shard->state == shard::ShardState::kFrozen) {
      info.shard = shard->id;
      info.epoch = shard->epoch;
      info.group = shard->peer;
    }
  }
  if (!info.group) {
    auto it = before ? ShardBefore(key) : routing_->shards().upper_bound(key);
    if (!before) it = it == routing_->shards().begin() ? routing_->shards().end() : std::prev(it);
    if (it != routing_->shards().end() && it->second.group != not_this) {
      info.shard = it->second.id;
      info.epoch = it->second.epoch;
      info.group = it->second.group;
    }
  }
  if (info.group) {
    info.leader_address = To(info.group).address;
  } else if (on_outdated) {
    on_outdated();
  }
  return info;
}

void NodeRouter::Note(std::string_view key, bool before, const Route& asked,
                      const ErrorInfo& refusal) {
  if (refusal.kind == ErrorKind::kNotLeader) {
    if (refusal.leader && refusal.leader != asked.leader) {
      routing_->NoteAddress(refusal.leader, refusal.leader_address);
      routing_->NoteLeader(asked.group, refusal.leader);
    } else {
      routing_->NoteUnhelpful(asked.group, asked.leader);
    }
    return;
  }
  auto it = before ? ShardBefore(key) : routing_->shards().end();
  std::string_view at = it == routing_->shards().end() ? key : std::string_view(it->first);
  if (refusal.group) routing_->NoteMoved(at, refusal.shard, refusal.epoch, refusal.group);
  if (on_outdated) on_outdated();
}

}  // namespace kvd::node
