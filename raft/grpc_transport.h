// Raft's messages over gRPC: from each store to each other one stream for messages, batched while an
// earlier batch is being written, and one for snapshot chunks. A stream that breaks is opened again
// after a pause; what waited on it is lost, as Raft allows. Lives on its loop.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include <grpcpp/security/credentials.h>

#include "kvd/internal/v1/raft.grpc.pb.h"
#include "raft/runtime/cq_loop.h"
#include "raft/transport.h"

namespace kvd::raft {

struct GrpcTransportOptions {
  ClusterId cluster;
  StoreId store;
  std::string address;  // of this store, told to peers
  // Messages that wait for a slow peer; beyond it new ones are dropped.
  size_t queue_bytes_max = 64 << 20;
  Duration reconnect_after = milliseconds(200);
};

class GrpcTransport : public Transport {
 public:
  // `address_of(store)` is empty while unknown.
  GrpcTransport(CqLoop* loop, const GrpcTransportOptions& options,
                std::function<std::string(StoreId)> address_of);
  ~GrpcTransport() override;

  void Send(StoreId to, std::vector<GroupMessage> messages) override;
  void SendChunk(StoreId to, SnapshotChunk chunk) override;
  void SendAck(StoreId to, SnapshotAck ack) override;

  // Ends all streams.
  void Stop();

 private:
  template <class Batch>
  class Stream;
  struct Peer;
  Peer* PeerAt(StoreId to);

  CqLoop* const loop_;
  const GrpcTransportOptions options_;
  const std::function<std::string(StoreId)> address_of_;
  std::map<StoreId, std::unique_ptr<Peer>> peers_;
  bool stopped_ = false;
};

// The receiving end: an asynchronous service on the loop's queue.
class GrpcTransportService {
 public:
  // Told where a peer can be reached, from the first message of its stream.
  using HelloCallback = std::function<void(StoreId store, const std::string& address)>;

  GrpcTransportService(ClusterId cluster, TransportHandler* handler, HelloCallback on_hello)
      : cluster_(cluster), handler_(handler), on_hello_(std::move(on_hello)) {}

  grpc::Service* service() { return &service_; }
  // Accepts streams from now on. The server must be running, the queue be its.
  void Start(grpc::ServerCompletionQueue* queue);
  // Takes no more; streams under way end with the server.
  void Stop() { stopped_ = true; }

 private:
  class MessageStream;
  class ChunkStream;
  // Empty, or why the peer is refused.
  std::string Refusal(const internal::v1::Hello& hello) const;

  const ClusterId cluster_;
  TransportHandler* const handler_;
  const HelloCallback on_hello_;
  internal::v1::RaftTransport::AsyncService service_;
  grpc::ServerCompletionQueue* queue_ = nullptr;
  bool stopped_ = false;
};

}  // namespace kvd::raft
