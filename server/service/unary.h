// One asynchronous unary call on the loop's queue: accepts the next caller as soon as it is taken,
// hands the request to a function, answers once. Owns itself.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/async_unary_call.h>

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "raft/runtime/cq_loop.h"
#include "server/service/answer_budget.h"

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
    std::shared_ptr<AnswerBudget> budget;  // null: its answers are small
  };

  explicit UnaryCall(std::shared_ptr<const Method> method)
      : method_(std::move(method)), responder_(&context_) {
    method_->accept(&context_, &request_, &responder_, this);
  }

  ~UnaryCall() override {
    if (counted_ > 0) method_->budget->Return(counted_);
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
    method_->handle(&request_, [this](absl::Status status, Response* response) {
      if (status.ok() && method_->budget != nullptr) status = Count(response->ByteSizeLong());
      if (status.ok()) {
        responder_.Finish(*response, grpc::Status::OK, this);
      } else {
        responder_.FinishWithError(ToGrpc(status), this);
      }
    });
  }

 private:
  absl::Status Count(size_t bytes) {
    if (bytes < AnswerBudget::kCountedBytesMin) return absl::OkStatus();
    absl::Status room = method_->budget->Check(bytes);
    if (!room.ok()) return room;
    method_->budget->Take(bytes);
    counted_ = bytes;
    return absl::OkStatus();
  }

  const std::shared_ptr<const Method> method_;
  grpc::ServerContext context_;
  Request request_;
  Responder responder_;
  bool taken_ = false;
  size_t counted_ = 0;  // taken from the budget
};

// Accepts calls of one method from now on, `ahead` of them at a time. Large answers take from
// `budget`: give one only for methods that change nothing, since without room the answer is an
// error.
template <class Request, class Response, class Accept, class Handle>
void Serve(int ahead, const bool* stopped, Accept accept, Handle handle,
           const std::shared_ptr<AnswerBudget>& budget = nullptr) {
  using Call = UnaryCall<Request, Response>;
  auto method = std::make_shared<typename Call::Method>();
  method->accept = std::move(accept);
  method->handle = std::move(handle);
  method->stopped = stopped;
  method->budget = budget;
  for (int i = 0; i < ahead; ++i) new Call(method);
}

}  // namespace kvd::service
