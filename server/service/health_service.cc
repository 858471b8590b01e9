#include "server/service/health_service.h"

#include "server/service/unary.h"

namespace kvd::service {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

// One caller that wants to be told. Kept alive by its operations under way, of which one ends only
// with the call.
class HealthService::Watch : public std::enable_shared_from_this<Watch> {
 public:
  explicit Watch(HealthService* owner) : owner_(owner), writer_(&context_) {}

  void Accept() {
    CqTag* ended = Tag([this](bool) {
      ended_ = true;
      owner_->watches_.erase(this);
    });
    context_.AsyncNotifyWhenDone(ended);
    owner_->service_.RequestWatch(
        &context_, &request_, &writer_, owner_->queue_, owner_->queue_, Tag([this, ended](bool ok) {
          // Without a call there is no word of its end either.
          if (!ok) return delete ended;
          if (owner_->stopped_) return Finish();
          std::make_shared<Watch>(owner_)->Accept();
          known_ = request_.service().empty() || owner_->services_.contains(request_.service());
          owner_->watches_.insert(this);
          Tell();
        }));
  }

  void Tell() {
    auto now = !known_            ? HealthCheckResponse::SERVICE_UNKNOWN
               : owner_->serving_ ? HealthCheckResponse::SERVING
                                  : HealthCheckResponse::NOT_SERVING;
    if (writing_ || finished_ || ended_ || now == told_) return;
    told_ = now;
    writing_ = true;
    HealthCheckResponse response;
    response.set_status(now);
    writer_.Write(response, Tag([this](bool ok) {
                    writing_ = false;
                    if (!ok || owner_->stopped_) return Finish();
                    Tell();
                  }));
  }

  void Finish() {
    if (finished_ || writing_) return;
    finished_ = true;
    writer_.Finish({grpc::StatusCode::UNAVAILABLE, "the store is stopping"}, Tag([](bool) {}));
  }

 private:
  CqTag* Tag(std::function<void(bool)> f) {
    return CqOnce::Make([self = shared_from_this(), f = std::move(f)](bool ok) { f(ok); });
  }

  HealthService* const owner_;
  grpc::ServerContext context_;
  HealthCheckRequest request_;
  grpc::ServerAsyncWriter<HealthCheckResponse> writer_;
  HealthCheckResponse::ServingStatus told_ = HealthCheckResponse::UNKNOWN;
  bool known_ = false;
  bool writing_ = false;
  bool finished_ = false;
  bool ended_ = false;
};

void HealthService::Start(grpc::ServerCompletionQueue* queue) {
  queue_ = queue;
  Serve<HealthCheckRequest, HealthCheckResponse>(
      1, &stopped_,
      [this](auto* context, auto* request, auto* responder, void* tag) {
        service_.RequestCheck(context, request, responder, queue_, queue_, tag);
      },
      [this](HealthCheckRequest* request, auto answer) {
        HealthCheckResponse response;
        if (!request->service().empty() && !services_.contains(request->service())) {
          return answer(absl::NotFoundError("no service " + request->service() + " here"),
                        &response);
        }
        response.set_status(serving_ ? HealthCheckResponse::SERVING
                                     : HealthCheckResponse::NOT_SERVING);
        answer(absl::OkStatus(), &response);
      });
  std::make_shared<Watch>(this)->Accept();
}

void HealthService::SetServing(bool serving) {
  if (serving == serving_) return;
  serving_ = serving;
  for (Watch* watch : std::set<Watch*>(watches_)) watch->Tell();
}

void HealthService::Stop() {
  stopped_ = true;
  for (Watch* watch : std::set<Watch*>(watches_)) watch->Finish();
}

}  // namespace kvd::service
