#include "raft/grpc_transport.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/support/channel_arguments.h>

#include "proto/limits.h"
#include "raft/wire.h"

namespace kvd::raft {

namespace pb = internal::v1;

namespace {

std::shared_ptr<grpc::Channel> MakeChannel(const std::string& address) {
  grpc::ChannelArguments arguments;
  // A connection of its own: client traffic on a shared one could delay heartbeats.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  // gRPC 1.51 can crash when a stream that has just failed is cancelled, in its filter for retries.
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 10'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5'000);
  arguments.SetMaxSendMessageSize(-1);
  arguments.SetMaxReceiveMessageSize(static_cast<int>(kStoreReceiveBytesMax));
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

}  // namespace

struct GrpcTransport::Peer {
  Peer(StoreId id, const GrpcTransportOptions& options)
      : store(id),
        queue(options.queue_bytes_max, options.answer_within),
        chunk_patience(options.answer_within) {}

  void Disconnect() {
    pause.reset();
    if (outgoing) outgoing->Stop();
    outgoing.reset();
    if (chunks) chunks->Stop();
    chunks.reset();
  }

  const StoreId store;
  PeerQueue queue;
  StreamPatience chunk_patience;
  MessageLink* incoming = nullptr;  // that the peer opened
  std::string address;              // that follows is of it
  std::shared_ptr<pb::RaftTransport::Stub> stub;
  std::shared_ptr<OutgoingLink> outgoing;  // null until wanted, and while it pauses
  std::unique_ptr<Timer> pause;
  std::shared_ptr<ChunkStream> chunks;
};

GrpcTransport::GrpcTransport(CqLoop* loop, const GrpcTransportOptions& options,
                             std::function<std::string(StoreId)> address_of)
    : loop_(loop), options_(options), address_of_(std::move(address_of)) {}

GrpcTransport::~GrpcTransport() { Stop(); }

void GrpcTransport::Stop() {
  stopped_ = true;
  for (auto& [store, peer] : peers_) peer->Disconnect();
}

GrpcTransport::Peer& GrpcTransport::PeerOf(StoreId to) {
  auto& peer = peers_[to];
  if (peer == nullptr) peer = std::make_unique<Peer>(to, options_);
  return *peer;
}

// Null if it can't be reached.
GrpcTransport::Peer* GrpcTransport::PeerAt(StoreId to) {
  if (stopped_) return nullptr;
  Peer& peer = PeerOf(to);
  std::string address = address_of_(to);
  if (!address.empty() && address != peer.address) Connect(peer, address);
  return peer.stub != nullptr || peer.incoming != nullptr ? &peer : nullptr;
}

void GrpcTransport::Connect(Peer& peer, const std::string& address) {
  peer.Disconnect();
  peer.address = address;
  peer.stub = pb::RaftTransport::NewStub(MakeChannel(address));
  peer.chunks = std::make_shared<ChunkStream>(
      loop_, peer.stub, Hello(),
      ChunkStream::Options{options_.queue_bytes_max, options_.reconnect_after},
      &peer.chunk_patience);
}

pb::Hello GrpcTransport::Hello() const {
  pb::Hello hello;
  hello.set_cluster_id(options_.cluster.value());
  hello.set_store_id(options_.store.value());
  hello.set_address(options_.address);
  hello.set_protocol(kTransportProtocol);
  return hello;
}

// Both stores may have opened one: then it is that of the lower id, so that both send on the same.
MessageLink* GrpcTransport::OpenLink(const Peer& peer) const {
  auto if_open = [](MessageLink* link) { return link != nullptr && link->open() ? link : nullptr; };
  MessageLink* outgoing = if_open(peer.outgoing.get());
  MessageLink* incoming = if_open(peer.incoming);
  if (outgoing == nullptr || incoming == nullptr) return outgoing == nullptr ? incoming : outgoing;
  return options_.store < peer.store ? outgoing : incoming;
}

void GrpcTransport::Flush(Peer& peer) {
  if (MessageLink* link = OpenLink(peer)) return link->Flush();
  if (peer.outgoing == nullptr && peer.pause == nullptr && !peer.queue.outbox.empty())
    StartLink(peer);
}

void GrpcTransport::StartLink(Peer& peer) {
  if (peer.stub == nullptr) return;
  peer.outgoing = std::make_shared<OutgoingLink>(
      loop_, &damaged_, peer.stub, &peer.queue, Hello(),
      [this, &peer](pb::MessageBatch* batch) { return Take(peer, batch); },
      [this, &peer](bool was_open) { OnLinkEnded(peer, was_open); });
  peer.outgoing->Start();
}

void GrpcTransport::OnLinkEnded(Peer& peer, bool was_open) {
  peer.outgoing.reset();
  if (peer.incoming == nullptr) peer.queue.outbox.Clear();
  // What broke one stream may be wrong with the connection.
  if (was_open) Connect(peer, peer.address);
  // What is sent during the pause waits, so that the first batch after it has something to say.
  peer.pause = loop_->After(options_.reconnect_after, [this, &peer] {
    peer.pause.reset();
    Flush(peer);
  });
}

std::string GrpcTransport::WhyRefused(StoreId store) const {
  if (!is_removed_ || !is_removed_(store)) return "";
  return "store " + store.ToString() + " was removed from the cluster";
}

std::string GrpcTransport::Take(const Peer& peer, pb::MessageBatch* batch) {
  std::string refused = WhyRefused(peer.store);
  if (!refused.empty()) return refused;
  return HandOver(peer.store, batch, handler_);
}

PeerQueue* GrpcTransport::Attach(StoreId store, MessageLink* link) {
  Peer& peer = PeerOf(store);
  if (peer.incoming != nullptr) peer.incoming->set_queue(nullptr);
  peer.incoming = link;
  return &peer.queue;
}

void GrpcTransport::Detach(StoreId store, MessageLink* link) {
  auto it = peers_.find(store);
  if (it == peers_.end() || it->second->incoming != link) return;
  Peer& peer = *it->second;
  peer.incoming = nullptr;
  // Whoever greets is remembered no longer than needed: it may be no store at all.
  if (peer.stub == nullptr) {
    peers_.erase(it);
  } else if (OpenLink(peer) == nullptr) {
    peer.queue.outbox.Clear();
  }
}

void GrpcTransport::Send(StoreId to, std::vector<GroupMessage> messages) {
  Peer* peer = PeerAt(to);
  if (peer == nullptr) return;
  for (const GroupMessage& m : messages) peer->queue.outbox.Add(m);
  Flush(*peer);
}

void GrpcTransport::SendChunk(StoreId to, SnapshotChunk chunk) {
  Peer* peer = PeerAt(to);
  if (peer != nullptr && peer->chunks != nullptr) peer->chunks->Send(std::move(chunk));
}

void GrpcTransport::SendAck(StoreId to, SnapshotAck ack) {
  Peer* peer = PeerAt(to);
  if (peer == nullptr) return;
  peer->queue.outbox.Add(ack);
  Flush(*peer);
}

}  // namespace kvd::raft
