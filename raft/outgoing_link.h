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

  // Told whether the stream was open before.
  using EndedCallback = std::function<void(bool was_open)>;

  // `ended` is called once, unless Stop was. `hello` begins the first batch. The queue outlives the
  // call to either.
  OutgoingLink(CqLoop* loop, uint64_t* damaged, std::shared_ptr<Stub> stub, PeerQueue* queue,
               internal::v1::Hello hello, TakeCallback take, EndedCallback ended)
      : MessageLink(loop, damaged),
        completions_(loop->queue()),
        stub_(std::move(stub)),
        hello_(std::move(hello)),
        take_(std::move(take)),
        ended_(std::move(ended)) {
    set_queue(queue);
  }

  // Sends what waits as soon as the stream is open.
  void Start() {
    stream_ = stub_->PrepareAsyncMessages(&context_, completions_);
    stream_->StartCall(CqOnce::Make([this, self = shared_from_this()](bool ok) {
      if (!ok) return Finish();
      was_open_ = true;
      Begin(stream_.get(), stream_.get());
      Flush();
    }));
  }
  // Perhaps from within a call to `take`.
  void Stop() {
    stopped_ = true;
    set_queue(nullptr);
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
      if (!stopped_) ended_(was_open_);
    }));
  }

  grpc::CompletionQueue* const completions_;
  const std::shared_ptr<Stub> stub_;
  const internal::v1::Hello hello_;
  const TakeCallback take_;
  const EndedCallback ended_;
  bool was_open_ = false;
  bool stopped_ = false;
  grpc::ClientContext context_;
  // After the context, in whose call it lives.
  std::unique_ptr<grpc::ClientAsyncReaderWriter<Batch, Batch>> stream_;
  grpc::Status status_;
};

}  // namespace kvd::raft
