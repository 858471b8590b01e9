#include "raft/grpc_transport.h"

#include <deque>

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
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 10'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5'000);
  arguments.SetMaxSendMessageSize(-1);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

}  // namespace

namespace {
constexpr size_t kBatchBytesMax = 4 << 20;
}  // namespace

// One outgoing stream. Kept alive by the operations under way.
template <class Batch>
class GrpcTransport::Stream : public std::enable_shared_from_this<Stream<Batch>> {
 public:
  using WriterPtr = std::unique_ptr<grpc::ClientAsyncWriter<Batch>>;
  using Open = std::function<WriterPtr(grpc::ClientContext*, pb::StreamEnd*, grpc::CompletionQueue*)>;

  Stream(CqLoop* loop, const GrpcTransportOptions* options, Open open)
      : loop_(loop), options_(*options), open_(std::move(open)) {}

  // Adds to the batch that leaves next, with Flush; `bytes` is about how much is added.
  template <class Adder>
  void Add(size_t bytes, Adder add) {
    if (stopped_ || waiting_bytes_ + bytes > options_.queue_bytes_max) return;
    // A batch stays well below what the receiver accepts; only one message alone may be larger.
    if (waiting_.empty() || !Adder::kJoins || waiting_.back().bytes + bytes > kBatchBytesMax) {
      waiting_.emplace_back();
    }
    waiting_bytes_ += bytes;
    waiting_.back().bytes += bytes;
    add(&waiting_.back().batch);
  }

  // Sends now, not at the end of the turn: the receiver works while this store does the rest of it.
  void Flush() {
    if (stopped_) return;
    if (state_ == State::kIdle && !waiting_.empty()) Start();
    if (state_ == State::kOpen) WriteNext();
  }

  void Stop() {
    stopped_ = true;
    retry_.reset();
    if (context_) context_->TryCancel();
  }

 private:
  enum class State { kIdle, kStarting, kOpen, kWriting, kClosing, kPausing };

  void Start() {
    state_ = State::kStarting;
    writer_.reset();  // lives in the memory of its context's call
    context_ = std::make_unique<grpc::ClientContext>();
    writer_ = open_(context_.get(), &end_, loop_->queue());
    writer_->StartCall(CqOnce::Make([self = this->shared_from_this()](bool ok) {
      if (!ok) return self->Close();
      self->state_ = State::kOpen;
      self->first_ = true;
      self->WriteNext();
    }));
  }

  void WriteNext() {
    if (waiting_.empty()) return;
    sending_ = std::move(waiting_.front().batch);
    waiting_bytes_ -= waiting_.front().bytes;
    waiting_.pop_front();
    if (first_) {
      first_ = false;
      auto* hello = sending_.mutable_hello();
      hello->set_cluster_id(options_.cluster.value());
      hello->set_store_id(options_.store.value());
      hello->set_address(options_.address);
      hello->set_protocol(1);
    }
    state_ = State::kWriting;
    writer_->Write(sending_, CqOnce::Make([self = this->shared_from_this()](bool ok) {
      if (!ok) return self->Close();
      self->state_ = State::kOpen;
      self->WriteNext();
    }));
  }

  void Close() {
    state_ = State::kClosing;
    writer_->Finish(&status_, CqOnce::Make([self = this->shared_from_this()](bool) {
      self->waiting_.clear();
      self->waiting_bytes_ = 0;
      self->state_ = State::kPausing;
      if (self->stopped_) return;
      // What is sent during the pause waits, so that the first batch after it has something to say.
      self->retry_ = self->loop_->After(self->options_.reconnect_after, [raw = self.get()] {
        raw->state_ = State::kIdle;
        if (!raw->waiting_.empty()) raw->Start();
      });
    }));
  }

  CqLoop* const loop_;
  const GrpcTransportOptions options_;
  const Open open_;
  State state_ = State::kIdle;
  bool stopped_ = false;
  bool first_ = false;
  std::unique_ptr<grpc::ClientContext> context_;
  pb::StreamEnd end_;
  WriterPtr writer_;
  grpc::Status status_;
  Batch sending_;
  struct Waiting {
    Batch batch;
    size_t bytes = 0;
  };
  std::deque<Waiting> waiting_;
  size_t waiting_bytes_ = 0;
  std::unique_ptr<Timer> retry_;
};

struct GrpcTransport::Peer {
  std::string address;
  std::unique_ptr<pb::RaftTransport::Stub> stub;
  std::shared_ptr<Stream<pb::MessageBatch>> messages;
  std::shared_ptr<Stream<pb::SnapshotChunk>> chunks;

  void Stop() {
    if (messages) messages->Stop();
    if (chunks) chunks->Stop();
  }
};

namespace {

struct AddMessage {
  static constexpr bool kJoins = true;
  const GroupMessage* message;
  void operator()(pb::MessageBatch* batch) const { ToWire(*message, batch->add_messages()); }
};

struct AddAck {
  static constexpr bool kJoins = true;
  const SnapshotAck* ack;
  void operator()(pb::MessageBatch* batch) const { ToWire(*ack, batch->add_snapshot_acks()); }
};

struct AddChunk {
  static constexpr bool kJoins = false;
  SnapshotChunk* chunk;
  void operator()(pb::SnapshotChunk* out) const { ToWire(std::move(*chunk), out); }
};

}  // namespace

GrpcTransport::GrpcTransport(CqLoop* loop, const GrpcTransportOptions& options,
                             std::function<std::string(StoreId)> address_of)
    : loop_(loop), options_(options), address_of_(std::move(address_of)) {}

GrpcTransport::~GrpcTransport() { Stop(); }

void GrpcTransport::Stop() {
  stopped_ = true;
  for (auto& [store, peer] : peers_) peer->Stop();
}

GrpcTransport::Peer* GrpcTransport::PeerAt(StoreId to) {
  std::string address = address_of_(to);
  auto& peer = peers_[to];
  if (stopped_ || address.empty()) return nullptr;
  if (peer != nullptr && peer->address == address) return peer.get();
  if (peer != nullptr) peer->Stop();
  peer = std::make_unique<Peer>();
  peer->address = address;
  peer->stub = pb::RaftTransport::NewStub(MakeChannel(address));
  auto* stub = peer->stub.get();
  peer->messages = std::make_shared<Stream<pb::MessageBatch>>(
      loop_, &options_, [stub](grpc::ClientContext* context, pb::StreamEnd* end,
                               grpc::CompletionQueue* queue) {
        return stub->PrepareAsyncMessages(context, end, queue);
      });
  peer->chunks = std::make_shared<Stream<pb::SnapshotChunk>>(
      loop_, &options_, [stub](grpc::ClientContext* context, pb::StreamEnd* end,
                               grpc::CompletionQueue* queue) {
        return stub->PrepareAsyncSnapshots(context, end, queue);
      });
  return peer.get();
}

void GrpcTransport::Send(StoreId to, std::vector<GroupMessage> messages) {
  Peer* peer = PeerAt(to);
  if (peer == nullptr) return;
  for (const GroupMessage& m : messages) {
    size_t bytes = 128;
    for (const EntryPtr& entry : m.message.entries) bytes += entry->Bytes();
    peer->messages->Add(bytes, AddMessage{&m});
  }
  peer->messages->Flush();
}

void GrpcTransport::SendChunk(StoreId to, SnapshotChunk chunk) {
  Peer* peer = PeerAt(to);
  if (peer == nullptr) return;
  peer->chunks->Add(chunk.data.size(), AddChunk{&chunk});
  peer->chunks->Flush();
}

void GrpcTransport::SendAck(StoreId to, SnapshotAck ack) {
  Peer* peer = PeerAt(to);
  if (peer == nullptr) return;
  peer->messages->Add(64, AddAck{&ack});
  peer->messages->Flush();
}

}  // namespace kvd::raft
