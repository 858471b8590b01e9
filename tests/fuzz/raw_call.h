// A call of any method, whose messages are any bytes, made on the loop that also serves it.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/generic/generic_stub.h>

#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "raft/runtime/cq_loop.h"

namespace kvd::fuzz {

class RawCall : public std::enable_shared_from_this<RawCall> {
 public:
  // `ended` is called once.
  explicit RawCall(std::function<void()> ended) : ended_(std::move(ended)) {}

  // Sends the messages, then no more; takes what is answered, to the end of the call. It is
  // cancelled after `limit`.
  void Start(CqLoop* loop, const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
             std::deque<std::string> messages, Duration limit);

 private:
  CqTag* Tag(std::function<void(bool)> f) {
    return CqOnce::Make([self = shared_from_this(), f = std::move(f)](bool ok) { f(ok); });
  }
  void Write();
  void Read();

  const std::function<void()> ended_;
  std::deque<std::string> messages_;
  grpc::ClientContext context_;
  grpc::ByteBuffer sent_;
  grpc::ByteBuffer received_;
  grpc::Status status_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> stream_;
};

}  // namespace kvd::fuzz
