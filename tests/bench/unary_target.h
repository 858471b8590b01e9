// A target on a loop of its own, and unary calls over plain gRPC stubs.
#pragma once

#include <grpcpp/create_channel.h>

#include <memory>
#include <thread>

#include "raft/runtime/cq_loop.h"
#include "tests/bench/target.h"

namespace kvd::bench {

class LoopTarget : public Target {
 public:
  LoopTarget()
      : loop_(std::make_unique<grpc::CompletionQueue>()), thread_([this] { loop_.Run(); }) {}
  ~LoopTarget() override {
    loop_.Stop();
    thread_.join();
    loop_.Drain();
  }
  void Post(std::function<void()> f) override {
    loop_.Post([f = std::move(f)] { f(); });
  }

 protected:
  grpc::CompletionQueue* queue() { return loop_.queue(); }
  CqLoop* loop() { return &loop_; }

 private:
  CqLoop loop_;
  std::thread thread_;
};

// Its own connection each.
inline std::vector<std::shared_ptr<grpc::Channel>> Channels(const TargetOptions& options) {
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  for (int i = 0; i < options.connections; ++i) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetMaxReceiveMessageSize(-1);
    size_t which = options.to_all ? static_cast<size_t>(i) % options.addresses.size() : 0;
    channels.push_back(grpc::CreateCustomChannel(options.addresses[which],
                                                 grpc::InsecureChannelCredentials(), arguments));
  }
  return channels;
}

// One unary call: `start(context, queue)` begins it, `done(status, response)` ends it.
template <class Response, class Start, class Finish>
void CallUnary(grpc::CompletionQueue* queue, Start start, Finish finish) {
  struct Call : public CqTag {
    explicit Call(Finish f) : finish(std::move(f)) {}
    void Proceed(bool) override {
      std::unique_ptr<Call> self(this);
      finish(status, response);
    }
    grpc::ClientContext context;
    grpc::Status status;
    Response response;
    std::unique_ptr<grpc::ClientAsyncResponseReader<Response>> reader;
    Finish finish;
  };
  auto* call = new Call(std::move(finish));
  call->reader = start(&call->context, queue);
  call->reader->Finish(&call->response, &call->status, call);
}

}  // namespace kvd::bench
