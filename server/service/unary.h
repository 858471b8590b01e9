// One asynchronous unary call on the loop's queue: accepts the next caller as soon as it is taken,
// hands the request to a function, answers once. Owns itself.
#pragma once

#include <functional>
#include <memory>

#include <grpcpp/server_context.h>
#include <grpcpp/support/async_unary_call.h>

#include "absl/status/status.h"
#include "raft/runtime/cq_loop.h"

namespace kvd::service {

grpc::Status ToGrpc(const absl::Status& status);

template <class Request, class Response>
class UnaryCall : public CqTag {
 public:
  using Responder = grpc::ServerAsyncResponseWriter<Response>;
  using Answer = std::function<void(const absl::Status&, Response*)>;
  struct Method {
    std::function<void(grpc::ServerContext*, Request*, Responder*, void* tag)> accept;
    std::function<void(Request*, Answer)> handle;
    const bool* stopped;
  };

  explicit UnaryCall(std::shared_ptr<const Method> method)
      : method_(std::move(method)), responder_(&context_) {
    method_->accept(&context_, &request_, &responder_, this);
  }

  void Proceed(bool ok) override {
    if (taken_ || !ok) {
      delete this;
      return;
    }
    taken_ = true;
    if (*method_->stopped) {
      responder_.FinishWithError({grpc::StatusCode::UNAVAILABLE, "the store is stopping"}, this);
      return;
    }
    new UnaryCall(method_);
    method_->handle(&request_, [this](const absl::Status& status, Response* response) {
      if (status.ok()) {
        responder_.Finish(*response, grpc::Status::OK, this);
      } else {
        responder_.FinishWithError(ToGrpc(status), this);
      }
    });
  }

 private:
  const std::shared_ptr<const Method> method_;
  grpc::ServerContext context_;
  Request request_;
  Responder responder_;
  bool taken_ = false;
};

// Accepts calls of one method from now on, `ahead` of them at a time.
template <class Request, class Response, class Accept, class Handle>
void Serve(int ahead, const bool* stopped, Accept accept, Handle handle) {
  using Call = UnaryCall<Request, Response>;
  auto method = std::make_shared<typename Call::Method>();
  method->accept = std::move(accept);
  method->handle = std::move(handle);
  method->stopped = stopped;
  for (int i = 0; i < ahead; ++i) new Call(method);
}

}  // namespace kvd::service
