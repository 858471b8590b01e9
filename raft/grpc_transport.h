// Raft's messages over gRPC: a bidirectional stream of messages for each pair of stores, opened by
// whichever of them has something to send, and a stream of snapshot chunks for each direction. A
// stream that breaks is opened again after a pause; what waited on it is lost, as Raft allows.
// Lives on its loop.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "kvd/internal/v1/raft.grpc.pb.h"
#include "raft/chunk_stream.h"
#include "raft/outgoing_link.h"
#include "raft/runtime/cq_loop.h"
#include "raft/transport.h"

namespace kvd::raft {

// Of the messages between stores; others are refused.
inline constexpr uint32_t kTransportProtocol = 4;

struct GrpcTransportOptions {
  ClusterId cluster;
  StoreId store;
  std::string address;  // of this store, told to peers
  // Messages that wait for a slow peer; beyond it new ones are dropped.
  size_t queue_bytes_max = 64 << 20;
  Duration reconnect_after = milliseconds(200);
  Duration answer_within = milliseconds(3000);  // see StreamPatience
};

class GrpcTransport : public Transport {
 public:
  // `address_of(store)` is empty while unknown.
  GrpcTransport(CqLoop* loop, const GrpcTransportOptions& options,
                std::function<std::string(StoreId)> address_of);
  ~GrpcTransport() override;

  // Who gets what peers send on streams that this store opened. Before the first Send.
  void set_handler(TransportHandler* handler) { handler_ = handler; }

  void Send(StoreId to, std::vector<GroupMessage> messages) override;
  void SendChunk(StoreId to, SnapshotChunk chunk) override;
  void SendAck(StoreId to, SnapshotAck ack) override;

  // A stream that the peer opened, to be sent on as well, and what is sent on it. The newest one
  // counts: an older one sends nothing any more.
  PeerQueue* Attach(StoreId peer, MessageLink* link);
  // Does nothing if another one was attached since. The link uses its queue no more.
  void Detach(StoreId peer, MessageLink* link);

  // Stores for which this holds were removed from the cluster: what they say is not taken in, and
  // the streams that they open are refused. Before the first Send.
  void set_is_removed(std::function<bool(StoreId)> is_removed) {
    is_removed_ = std::move(is_removed);
  }
  // Empty, or why nothing of that store's is taken in.
  std::string WhyRefused(StoreId store) const;

  ClusterId cluster() const { return options_.cluster; }
  // Batches and heads of chunks that arrived damaged; each ended its stream. A chunk's data are
  // compared by who takes it in.
  uint64_t damaged() const { return damaged_; }
  uint64_t* mutable_damaged() { return &damaged_; }
  // Ends all streams that this store opened.
  void Stop();

 private:
  struct Peer;
  Peer* PeerAt(StoreId to);
  Peer& PeerOf(StoreId to);
  void Connect(Peer& peer, const std::string& address);
  void Flush(Peer& peer);
  MessageLink* OpenLink(const Peer& peer) const;
  void StartLink(Peer& peer);
  void OnLinkEnded(Peer& peer, bool was_open);
  std::string Take(const Peer& peer, internal::v1::MessageBatch* batch);
  internal::v1::Hello Hello() const;

  CqLoop* const loop_;
  const GrpcTransportOptions options_;
  const std::function<std::string(StoreId)> address_of_;
  std::function<bool(StoreId)> is_removed_;
  TransportHandler* handler_ = nullptr;
  std::map<StoreId, std::unique_ptr<Peer>> peers_;
  uint64_t damaged_ = 0;
  bool stopped_ = false;
};

// Empty, or why not all of the batch was handed over: a message is malformed, or not `from` it.
std::string HandOver(StoreId from, internal::v1::MessageBatch* batch, TransportHandler* handler);

// The receiving end: an asynchronous service on the loop's queue.
class GrpcTransportService {
 public:
  // Told where a peer can be reached, from the first message of its stream.
  using HelloCallback = std::function<void(StoreId store, const std::string& address)>;

  // Everything given outlives the server.
  GrpcTransportService(CqLoop* loop, GrpcTransport* transport, TransportHandler* handler,
                       HelloCallback on_hello)
      : loop_(loop), transport_(transport), handler_(handler), on_hello_(std::move(on_hello)) {}

  grpc::Service* service() { return &service_; }
  // Accepts streams from now on. The server must be running, the queue be its.
  void Start(grpc::ServerCompletionQueue* queue);
  // Takes no more; streams under way end with the server.
  void Stop();

 private:
  class IncomingLink;
  class IncomingChunks;
  // Empty, or why the peer is refused.
  std::string Refusal(const internal::v1::Hello& hello) const;

  CqLoop* const loop_;
  GrpcTransport* const transport_;
  TransportHandler* const handler_;
  const HelloCallback on_hello_;
  internal::v1::RaftTransport::AsyncService service_;
  grpc::ServerCompletionQueue* queue_ = nullptr;
  bool stopped_ = false;
  std::set<IncomingLink*> links_;
};

}  // namespace kvd::raft
