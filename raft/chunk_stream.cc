#include "raft/chunk_stream.h"

#include <utility>

#include "raft/wire.h"

namespace kvd::raft {

ChunkStream::ChunkStream(CqLoop* loop, std::shared_ptr<Stub> stub, internal::v1::Hello hello,
                         const Options& options, StreamPatience* patience)
    : loop_(loop),
      stub_(std::move(stub)),
      hello_(std::move(hello)),
      options_(options),
      patience_(patience) {}

void ChunkStream::Send(SnapshotChunk chunk) {
  size_t bytes = chunk.data.size();
  if (stopped_ || waiting_bytes_ + bytes > options_.queue_bytes_max) return;
  waiting_bytes_ += bytes;
  ToWire(std::move(chunk), &waiting_.emplace_back());
  if (state_ == State::kIdle) Start();
  if (state_ == State::kOpen) WriteNext();
}

void ChunkStream::Stop() {
  stopped_ = true;
  retry_.reset();
  if (context_) context_->TryCancel();
}

void ChunkStream::Start() {
  state_ = State::kStarting;
  writer_.reset();  // lives in the memory of its context's call
  context_ = std::make_unique<grpc::ClientContext>();
  writer_ = stub_->PrepareAsyncSnapshots(context_.get(), &end_, loop_->queue());
  writer_->StartCall(CqOnce::Make([self = shared_from_this()](bool ok) {
    if (!ok) return self->Close();
    self->state_ = State::kOpen;
    self->first_ = true;
    self->WriteNext();
  }));
}

void ChunkStream::WriteNext() {
  if (waiting_.empty()) return;
  sending_ = std::move(waiting_.front());
  waiting_bytes_ -= sending_.data().size();
  waiting_.pop_front();
  if (first_) *sending_.mutable_hello() = hello_;
  first_ = false;
  sending_.set_checksum(Checksum(sending_));
  state_ = State::kWriting;
  give_up_ = loop_->After(patience_->For(sending_.data().size()), [this] {
    patience_->RanOut(sending_.data().size(), loop_->Now());
    context_->TryCancel();
  });
  writer_->Write(sending_,
                 CqOnce::Make([self = shared_from_this()](bool ok) { self->OnWritten(ok); }));
}

void ChunkStream::OnWritten(bool ok) {
  give_up_.reset();
  if (!ok) return Close();
  patience_->Answered(loop_->Now());
  state_ = State::kOpen;
  WriteNext();
}

void ChunkStream::Close() {
  state_ = State::kClosing;
  writer_->Finish(&status_, CqOnce::Make([self = shared_from_this()](bool) { self->Pause(); }));
}

void ChunkStream::Pause() {
  waiting_.clear();
  waiting_bytes_ = 0;
  state_ = State::kPausing;
  if (stopped_) return;
  // What is sent during the pause waits, so that the first chunk after it has something to say.
  retry_ = loop_->After(options_.reconnect_after, [this] {
    state_ = State::kIdle;
    if (!waiting_.empty()) Start();
  });
}

}  // namespace kvd::raft
