// Asks a group's leader, or a store, for something. Where the leader is is guessed from what is
// known; who is asked wrongly says where to go. For calls that may be asked again. Lives on the
// store's loop.
#pragma once

#include <memory>
#include <set>

#include "client/src/routing.h"
#include "proto/error.h"
#include "raft/runtime/loop.h"
#include "server/node/store_caller.h"

namespace kvd::node {

class GroupCaller {
 public:
  using Handler = std::function<void(wire::StoreRequest, StoreDone)>;

  // All given outlive it. What is for `self` goes to `here`. `leader_here`: who leads a group, as
  // its replica on this store knows, if there is one.
  GroupCaller(Loop* loop, client::Routing* routing, StoreCaller* caller, ClusterId cluster,
              StoreId self, Handler here, std::function<StoreId(GroupId)> leader_here)
      : loop_(loop),
        routing_(routing),
        caller_(caller),
        cluster_(cluster),
        self_(self),
        here_(std::move(here)),
        leader_here_(std::move(leader_here)) {}

  // Calls back once, unless this is gone by then. UNAVAILABLE if the store can't be reached.
  void ToStore(StoreId store, wire::StoreRequest request, Duration timeout, StoreDone done);
  // To whoever leads. `timeout` is for each store that is asked on the way. `once`: it must not be
  // carried out twice, so nobody else is asked after one that did not answer.
  void ToLeader(GroupId group, wire::StoreRequest request, Duration timeout, StoreDone done,
                bool once = false);
  // Nobody is called back any more.
  void Close() { alive_.reset(); }

 private:
  // A search for a group's leader.
  struct Search {
    GroupId group;
    wire::StoreRequest request;
    Duration timeout;
    StoreDone done;
    bool once = false;
    std::set<StoreId> asked;
    StoreId hint;         // by who was asked last
    int unreachable = 0;  // of those asked
    absl::Status last;
  };
  void Try(const std::shared_ptr<Search>& search);
  StoreId NextFor(const Search& search) const;

  Loop* const loop_;
  client::Routing* const routing_;
  StoreCaller* const caller_;
  const ClusterId cluster_;
  const StoreId self_;
  const Handler here_;
  const std::function<StoreId(GroupId)> leader_here_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace kvd::node
