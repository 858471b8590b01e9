#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/limits.h"
#include "raft/grpc_transport.h"
#include "raft/wire.h"

namespace kvd::raft {

namespace pb = internal::v1;

std::string HandOver(StoreId from, pb::MessageBatch* batch, TransportHandler* handler) {
  std::vector<GroupMessage> messages(static_cast<size_t>(batch->messages_size()));
  for (int i = 0; i < batch->messages_size(); ++i) {
    GroupMessage& message = messages[static_cast<size_t>(i)];
    if (!FromWire(batch->mutable_messages(i), &message)) return "malformed message";
    if (message.message.from_store != from) return "a message of another store";
  }
  handler->OnMessages(std::move(messages));
  for (const auto& ack : batch->snapshot_acks()) handler->OnAck(FromWire(ack));
  return "";
}

std::string GrpcTransportService::Refusal(const pb::Hello& hello) const {
  if (hello.protocol() != kTransportProtocol) {
    return absl::StrCat("protocol version ", hello.protocol(), " between stores, this one speaks ",
                        kTransportProtocol);
  }
  if (ClusterId(hello.cluster_id()) != transport_->cluster()) {
    return absl::StrCat("this store belongs to cluster ", transport_->cluster().value(), ", store ",
                        hello.store_id(), " at ", hello.address(), " to cluster ",
                        hello.cluster_id());
  }
  if (hello.store_id() == 0 || hello.address().size() > kAddressBytesMax) return "malformed hello";
  return transport_->WhyRefused(StoreId(hello.store_id()));
}

// A stream of messages that a peer opened.
class GrpcTransportService::IncomingLink : public MessageLink {
 public:
  explicit IncomingLink(GrpcTransportService* owner)
      : MessageLink(owner->loop_, owner->transport_->mutable_damaged()),
        owner_(owner),
        stream_(&context_) {
    owner_->links_.insert(this);
  }
  ~IncomingLink() override { owner_->links_.erase(this); }

  void Await() {
    owner_->service_.RequestMessages(&context_, &stream_, owner_->queue_, owner_->queue_,
                                     CqOnce::Make([this, self = shared_from_this()](bool ok) {
                                       if (!ok) return;
                                       if (!owner_->stopped_) Accept(owner_);
                                       Begin(&stream_, &stream_);
                                     }));
  }
  static void Accept(GrpcTransportService* owner) {
    std::make_shared<IncomingLink>(owner)->Await();
  }

 private:
  std::string Refusal(const Batch& batch) const override {
    return from_ ? "" : owner_->Refusal(batch.hello());
  }
  std::string Take(Batch* batch) override {
    if (!from_) {
      from_ = StoreId(batch->hello().store_id());
      owner_->on_hello_(from_, batch->hello().address());
      if (!owner_->stopped_) set_queue(owner_->transport_->Attach(from_, this));
    }
    if (owner_->stopped_) return "the store is stopping";
    // It may have been removed since it said hello.
    std::string refused = owner_->transport_->WhyRefused(from_);
    if (!refused.empty()) return refused;
    return HandOver(from_, batch, owner_->handler_);
  }
  void Cancel() override { context_.TryCancel(); }
  void Ended(const std::string& why) override {
    set_queue(nullptr);
    if (from_) owner_->transport_->Detach(from_, this);
    grpc::Status status =
        why.empty() ? grpc::Status::OK : grpc::Status(grpc::StatusCode::FAILED_PRECONDITION, why);
    stream_.Finish(status, CqOnce::Make([self = shared_from_this()](bool) {}));
  }

  GrpcTransportService* const owner_;
  grpc::ServerContext context_;
  grpc::ServerAsyncReaderWriter<Batch, Batch> stream_;
  StoreId from_;  // 0 until it has said hello
};

class GrpcTransportService::IncomingChunks : public CqTag {
 public:
  explicit IncomingChunks(GrpcTransportService* owner) : owner_(owner), reader_(&context_) {
    owner_->service_.RequestSnapshots(&context_, &reader_, owner_->queue_, owner_->queue_, this);
  }

  void Proceed(bool ok) override {
    if (state_ == State::kFinished || (state_ == State::kAwaiting && !ok)) {
      delete this;
      return;
    }
    if (state_ == State::kAwaiting) {
      if (!owner_->stopped_) new IncomingChunks(owner_);
      state_ = State::kReading;
    } else if (!ok || !Take()) {
      state_ = State::kFinished;
      return reader_.Finish(pb::StreamEnd(), grpc::Status::OK, this);
    }
    chunk_.Clear();
    reader_.Read(&chunk_, this);
  }

 private:
  enum class State { kAwaiting, kReading, kFinished };

  bool Take() {
    bool greets = chunk_.has_hello();
    if (greets && !owner_->Refusal(chunk_.hello()).empty()) return false;
    if (chunk_.checksum() != Checksum(chunk_)) {
      ++*owner_->transport_->mutable_damaged();
      return false;
    }
    if (greets) from_ = StoreId(chunk_.hello().store_id());
    SnapshotChunk chunk;
    if (!from_ || !FromWire(&chunk_, &chunk)) return false;
    if (owner_->stopped_ || !owner_->transport_->WhyRefused(from_).empty()) return false;
    owner_->handler_->OnChunk(from_, std::move(chunk));
    return true;
  }

  GrpcTransportService* const owner_;
  grpc::ServerContext context_;
  grpc::ServerAsyncReader<pb::StreamEnd, pb::SnapshotChunk> reader_;
  pb::SnapshotChunk chunk_;
  State state_ = State::kAwaiting;
  StoreId from_;
};

void GrpcTransportService::Start(grpc::ServerCompletionQueue* queue) {
  queue_ = queue;
  IncomingLink::Accept(this);
  new IncomingChunks(this);
}

void GrpcTransportService::Stop() {
  stopped_ = true;
  for (IncomingLink* link : std::set<IncomingLink*>(links_)) link->PutOffNoRead();
}

}  // namespace kvd::raft
