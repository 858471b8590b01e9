// Finds the group of a key: by the map that the controller gave, and what groups said since; before
// it has given one, by what the groups here serve. Lives on the store's loop.
#pragma once

#include <functional>

#include "client/src/routing.h"
#include "server/node/groups.h"
#include "server/service/router.h"

namespace kvd::node {

class NodeRouter : public service::Router {
 public:
  // All given outlive it.
  NodeRouter(const raft::Host* host, Groups* groups, client::Routing* routing, StoreId self,
             std::string address)
      : host_(host),
        groups_(groups),
        routing_(routing),
        self_(self),
        address_(std::move(address)) {}

  service::Route Find(std::string_view key) override;
  service::Route To(GroupId group) override;
  service::Route FindBefore(std::string_view end) override;
  std::vector<service::LocatedShard> Locate(std::string_view start, std::string_view end,
                                            size_t most) override;
  std::vector<std::string> StoreAddresses(size_t most) const override {
    return routing_->AddressesBehind(self_, most);
  }
  ErrorInfo WhoHas(std::string_view key, bool before, GroupId not_this) override;
  void Note(std::string_view key, bool before, const service::Route& asked,
            const ErrorInfo& refusal) override;
  void NoteLost(const service::Route& asked) override {
    routing_->NoteUnhelpful(asked.group, asked.leader);
  }

  // Before the host ends: nothing is known any more.
  void Stop() { stopped_ = true; }

  // The map was of no help: it should be asked for anew.
  std::function<void()> on_outdated;

 private:
  using Lookup = std::function<const shard::ShardDescriptor*(const shard::ShardTable&)>;

  client::Routing::Shards::const_iterator ShardBefore(std::string_view end) const;
  // The controller may be out of reach when a store starts, and no map is kept on disk.
  GroupId OwnerHere(const Lookup& lookup) const;
  std::vector<service::LocatedShard> LocateHere(std::string_view start, std::string_view end,
                                                size_t most);

  const raft::Host* const host_;
  Groups* const groups_;
  client::Routing* const routing_;
  const StoreId self_;
  const std::string address_;
  bool stopped_ = false;
};

}  // namespace kvd::node
