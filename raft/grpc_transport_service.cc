#include "absl/strings/str_cat.h"
#include "proto/limits.h"
#include "raft/grpc_transport.h"
#include "raft/wire.h"

namespace kvd::raft {

namespace pb = internal::v1;

std::string GrpcTransportService::Refusal(const pb::Hello& hello) const {
  if (hello.protocol() != 1) return absl::StrCat("unknown protocol version ", hello.protocol());
  if (ClusterId(hello.cluster_id()) != cluster_) {
    return absl::StrCat("this store belongs to cluster ", cluster_.value(), ", store ",
                        hello.store_id(), " at ", hello.address(), " to cluster ",
                        hello.cluster_id());
  }
  if (hello.store_id() == 0 || hello.address().size() > kAddressBytesMax) return "malformed hello";
  return "";
}

// An incoming stream of messages; owns itself, gone when the stream has ended.
class GrpcTransportService::MessageStream : public CqTag {
 public:
  explicit MessageStream(GrpcTransportService* owner) : owner_(owner), reader_(&context_) {
    owner_->service_.RequestMessages(&context_, &reader_, owner_->queue_, owner_->queue_, this);
  }

  void Proceed(bool ok) override {
    if (state_ == State::kFinished || (state_ == State::kAwaiting && !ok)) {
      delete this;
      return;
    }
    if (state_ == State::kAwaiting) {
      if (!owner_->stopped_) new MessageStream(owner_);
      state_ = State::kReading;
    } else if (!ok) {
      return Finish(grpc::Status::OK);
    } else if (std::string why = Take(); !why.empty()) {
      return Finish(grpc::Status(grpc::StatusCode::FAILED_PRECONDITION, why));
    }
    batch_.Clear();
    reader_.Read(&batch_, this);
  }

 private:
  enum class State { kAwaiting, kReading, kFinished };

  std::string Take() {
    if (!from_) {
      std::string why = owner_->Refusal(batch_.hello());
      if (!why.empty()) return why;
      from_ = StoreId(batch_.hello().store_id());
      owner_->on_hello_(from_, batch_.hello().address());
    }
    std::vector<GroupMessage> messages(static_cast<size_t>(batch_.messages_size()));
    for (int i = 0; i < batch_.messages_size(); ++i) {
      if (!FromWire(batch_.mutable_messages(i), &messages[static_cast<size_t>(i)])) {
        return "malformed message";
      }
      if (messages[static_cast<size_t>(i)].message.from_store != from_) return "a message of another store";
    }
    if (owner_->stopped_) return "the store is stopping";
    owner_->handler_->OnMessages(std::move(messages));
    for (const auto& ack : batch_.snapshot_acks()) owner_->handler_->OnAck(FromWire(ack));
    return "";
  }

  void Finish(const grpc::Status& status) {
    state_ = State::kFinished;
    if (status.ok()) {
      reader_.Finish(pb::StreamEnd(), status, this);
    } else {
      reader_.FinishWithError(status, this);
    }
  }

  GrpcTransportService* const owner_;
  grpc::ServerContext context_;
  grpc::ServerAsyncReader<pb::StreamEnd, pb::MessageBatch> reader_;
  pb::MessageBatch batch_;
  State state_ = State::kAwaiting;
  StoreId from_;  // 0 until it has said hello
};

class GrpcTransportService::ChunkStream : public CqTag {
 public:
  explicit ChunkStream(GrpcTransportService* owner) : owner_(owner), reader_(&context_) {
    owner_->service_.RequestSnapshots(&context_, &reader_, owner_->queue_, owner_->queue_, this);
  }

  void Proceed(bool ok) override {
    if (state_ == State::kFinished || (state_ == State::kAwaiting && !ok)) {
      delete this;
      return;
    }
    if (state_ == State::kAwaiting) {
      if (!owner_->stopped_) new ChunkStream(owner_);
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
    if (chunk_.has_hello()) {
      if (!owner_->Refusal(chunk_.hello()).empty()) return false;
      from_ = StoreId(chunk_.hello().store_id());
    }
    SnapshotChunk chunk;
    if (!from_ || !FromWire(&chunk_, &chunk)) return false;
    if (owner_->stopped_) return false;
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
  new MessageStream(this);
  new ChunkStream(this);
}

}  // namespace kvd::raft
