#include "server/service/store_service.h"

#include "server/service/unary.h"

namespace kvd::service {

struct GrpcStoreCaller::State {
  std::unique_ptr<internal::v1::Stores::Stub> stub;
  grpc::ClientContext context;
  internal::v1::StoreRequest request;
  internal::v1::StoreResponse response;
  grpc::Status status;
  std::unique_ptr<grpc::ClientAsyncResponseReader<internal::v1::StoreResponse>> reader;
};

void GrpcStoreCaller::Call(const std::string& address, internal::v1::StoreRequest request,
                           Duration timeout, node::StoreDone done) {
  if (stopped_) return done(absl::UnavailableError("the store is stopping"));
  auto state = std::make_shared<State>();
  state->stub = internal::v1::Stores::NewStub(network_->ChannelTo(address));
  state->request.Swap(&request);
  state->context.set_deadline(std::chrono::system_clock::now() +
                              std::chrono::duration_cast<std::chrono::microseconds>(timeout));
  calls_.insert(&state->context);
  state->reader = state->stub->AsyncCall(&state->context, state->request, loop_->queue());
  state->reader->Finish(&state->response, &state->status,
                        CqOnce::Make([this, state, done = std::move(done)](bool) {
                          calls_.erase(&state->context);
                          if (!state->status.ok()) return done(client::FromGrpc(state->status));
                          done(std::move(state->response));
                        }));
}

void GrpcStoreCaller::Stop() {
  stopped_ = true;
  for (grpc::ClientContext* context : calls_) context->TryCancel();
}

void StoreService::Start(grpc::ServerCompletionQueue* queue) {
  queue_ = queue;
  using Request = internal::v1::StoreRequest;
  using Response = internal::v1::StoreResponse;
  Serve<Request, Response>(
      16, &stopped_,
      [this](auto* context, auto* request, auto* responder, void* tag) {
        service_.RequestCall(context, request, responder, queue_, queue_, tag);
      },
      [this](Request* request, auto answer) {
        node_->Handle(std::move(*request), [answer](absl::StatusOr<Response> response) {
          if (!response.ok()) return answer(response.status(), nullptr);
          answer(absl::OkStatus(), &*response);
        });
      });
}

}  // namespace kvd::service
