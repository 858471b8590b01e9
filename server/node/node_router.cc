#include "server/node/node_router.h"

#include <algorithm>

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

// Whoever serves it, else who gets it from a group here.
GroupId NodeRouter::OwnerHere(const Lookup& lookup) const {
  GroupId next;
  for (const auto& [id, local] : groups_->all()) {
    const shard::ShardDescriptor* shard = lookup(local.group->meta().shards);
    if (shard == nullptr) continue;
    if (shard->state == shard::ShardState::kServing) return id;
    if (shard->state == shard::ShardState::kFrozen) next = shard->peer;
  }
  return next;
}

Route NodeRouter::Find(std::string_view key) {
  const client::Routing::Shard* shard = routing_->Find(key);
  if (shard != nullptr) return To(shard->group);
  return To(OwnerHere([key](const shard::ShardTable& shards) { return shards.At(key); }));
}

client::Routing::Shards::const_iterator NodeRouter::ShardBefore(std::string_view end) const {
  const auto& shards = routing_->shards();
  auto it = end.empty() ? shards.end() : shards.lower_bound(end);
  return it == shards.begin() ? shards.end() : std::prev(it);
}

Route NodeRouter::FindBefore(std::string_view end) {
  auto shard = ShardBefore(end);
  if (shard != routing_->shards().end()) return To(shard->second.group);
  return To(OwnerHere([end](const shard::ShardTable& shards) { return shards.Before(end); }));
}

std::vector<service::LocatedShard> NodeRouter::LocateHere(std::string_view start,
                                                          std::string_view end, size_t most) {
  std::vector<service::LocatedShard> out;
  for (const auto& [id, local] : groups_->all()) {
    for (const auto& [from, shard] : local.group->meta().shards.shards()) {
      bool before = !shard.range.end.empty() && shard.range.end <= start;
      if (shard.state != shard::ShardState::kServing || before || (!end.empty() && from >= end))
        continue;
      out.push_back({shard.range, shard.id, shard.epoch, To(id)});
    }
  }
  std::sort(out.begin(), out.end(),
            [](const auto& a, const auto& b) { return a.range.start < b.range.start; });
  out.resize(std::min(out.size(), most));
  return out;
}

std::vector<service::LocatedShard> NodeRouter::Locate(std::string_view start, std::string_view end,
                                                      size_t most) {
  const auto& shards = routing_->shards();
  if (shards.empty()) return LocateHere(start, end, most);
  std::vector<service::LocatedShard> out;
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
    if (refusal.group && refusal.group != asked.group) {
      // It took the request for another group's: that says nothing of this one.
      if (refusal.leader) routing_->NoteLeader(refusal.group, refusal.leader);
    } else if (refusal.leader && refusal.leader != asked.leader) {
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
