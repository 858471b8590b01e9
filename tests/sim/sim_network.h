// A simulated network between stores and clients: delay, loss, duplication, reordering, one-way
// cuts, and clogs that hold messages back. Client calls are never doubled, as gRPC never doubles
// them, but their answers may be lost.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>

#include "client/src/session.h"
#include "raft/transport.h"
#include "server/node/store_caller.h"
#include "server/service/dispatcher.h"
#include "tests/sim/scheduler.h"

namespace kvd::sim {

struct NetworkFaults {
  double loss = 0;
  double duplication = 0;
  Duration delay_min = std::chrono::microseconds(100);
  Duration delay_max = milliseconds(2);
  double late_chance = 0;  // of a message taking up to `late_max`
  Duration late_max = milliseconds(1500);
};

// Stores have ids from 1; clients stand at nodes from 1000.
using Node = uint64_t;

class SimNetwork {
 public:
  explicit SimNetwork(Scheduler* scheduler) : scheduler_(scheduler) {}

  NetworkFaults faults;
  void Cut(Node from, Node to) { cut_.insert({from, to}); }
  void Mend(Node from, Node to) { cut_.erase({from, to}); }
  void MendAll() { cut_.clear(); }
  bool IsCut(Node from, Node to) const { return cut_.contains({from, to}); }

  // Runs `arrive` at the other end, unless the message is lost on the way.
  void Carry(Node from, Node to, bool may_double, const std::function<void()>& arrive);

  // Where messages and calls for a store arrive; empty while it is down.
  struct Endpoint {
    std::function<void(std::vector<raft::GroupMessage>)> on_messages;
    std::function<void(StoreId, raft::SnapshotChunk)> on_chunk;
    std::function<void(raft::SnapshotAck)> on_ack;
    std::function<void(service::RequestItem, service::ItemCallback)> on_request;
    std::function<void(internal::v1::StoreRequest, node::StoreDone)> on_store_request;
  };
  std::map<Node, Endpoint> endpoints;
  // Who is reached at a store's address since that one lost its disk; that one perhaps as well.
  std::map<Node, Node> successors;
  Node Reached(Node at) const {
    for (auto it = successors.find(at); it != successors.end(); it = successors.find(at))
      at = it->second;
    return at;
  }

  uint64_t carried = 0;
  uint64_t lost = 0;
  uint64_t doubled = 0;
  uint64_t late = 0;

 private:
  Duration Delay();

  Scheduler* const scheduler_;
  std::set<std::pair<Node, Node>> cut_;
};

std::string AddressOf(Node store);
// 0 if it is no store's address.
Node NodeAt(const std::string& address);

// A store's side of the network.
class SimTransport : public raft::Transport {
 public:
  SimTransport(SimNetwork* network, StoreId self) : network_(network), self_(self) {}
  void Send(StoreId to, std::vector<raft::GroupMessage> messages) override;
  void SendChunk(StoreId to, raft::SnapshotChunk chunk) override;
  void SendAck(StoreId to, raft::SnapshotAck ack) override;

 private:
  SimNetwork* const network_;
  const StoreId self_;
};

// Calls from a client, or from a store to another one.
class SimCaller : public client::Network, public service::Forwarder, public node::StoreCaller {
 public:
  SimCaller(SimNetwork* network, SimLoop* loop, Node self)
      : network_(network), loop_(loop), self_(self) {}
  void Call(const std::string& address, client::RequestItem item, Duration timeout,
            std::function<void(absl::StatusOr<client::ResponseItem>)> done) override;
  void Forward(const std::string& address, service::RequestItem item,
               std::function<void(absl::StatusOr<service::ResponseItem>)> done) override;
  void Call(const std::string& address, internal::v1::StoreRequest request, Duration timeout,
            node::StoreDone done) override;

 private:
  // `arrive` runs at the other end and answers once, or never; false: nobody is there.
  template <class Answer>
  void Ask(const std::string& address, Duration timeout,
           std::function<void(absl::StatusOr<Answer>)> done,
           std::function<bool(SimNetwork::Endpoint*, std::function<void(absl::StatusOr<Answer>)>)>
               arrive);

  SimNetwork* const network_;
  SimLoop* const loop_;
  const Node self_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace kvd::sim
