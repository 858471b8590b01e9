// One stream of messages that this store opened, from its start to its end. Lives on its loop.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "kvd/internal/v1/raft.grpc.pb.h"
#include "raft/message_link.h"

namespace kvd::raft {

class OutgoingLink : public MessageLink {
 public:
  using Stub = internal::v1::RaftTransport::Stub;
  // Gets what the peer sends; empty, or why the stream must end.
  using TakeCallback = std::function<std::string(internal::v1::MessageBatch*)>;

  // `ended` is called once, unless Stop was. `hello` begins the first batch. The outbox outlives
  // the call to either.
  OutgoingLink(CqLoop* loop, uint64_t* damaged, std::shared_ptr<Stub> stub, MessageOutbox* outbox,
               internal::v1::Hello hello, TakeCallback take, std::function<void()> ended)
      : MessageLink(loop, damaged),
        queue_(loop->queue()),
        stub_(std::move(stub)),
        hello_(std::move(hello)),
        take_(std::move(take)),
        ended_(std::move(ended)) {
    set_outbox(outbox);
  }

  // Sends what waits as soon as the stream is open.
  void Start() {
    stream_ = stub_->PrepareAsyncMessages(&context_, queue_);
    stream_->StartCall(CqOnce::Make([this, self = shared_from_this()](bool ok) {
      if (!ok) return Finish();
      Begin(stream_.get(), stream_.get());
      Flush();
    }));
  }
  // Perhaps from within a call to `take`.
  void Stop() {
    stopped_ = true;
    set_outbox(nullptr);
    PutOffNoRead();
    context_.TryCancel();
  }

 private:
  std::string Take(Batch* batch) override { return stopped_ ? "stopped" : take_(batch); }
  void AddGreeting(Batch* batch) override { *batch->mutable_hello() = hello_; }
  void Cancel() override { context_.TryCancel(); }
  void Ended(const std::string&) override {
    context_.TryCancel();
    Finish();
  }
  void Finish() {
    stream_->Finish(&status_, CqOnce::Make([this, self = shared_from_this()](bool) {
      if (!stopped_) ended_();
    }));
  }

  grpc::CompletionQueue* const queue_;
  const std::shared_ptr<Stub> stub_;
  const internal::v1::Hello hello_;
  const TakeCallback take_;
  const std::function<void()> ended_;
  bool stopped_ = false;
  grpc::ClientContext context_;
  // After the context, in whose call it lives.
  std::unique_ptr<grpc::ClientAsyncReaderWriter<Batch, Batch>> stream_;
  grpc::Status status_;
};

}  // namespace kvd::raft
