// The Scan method of the Kv service.
#include "proto/error.h"
#include "server/service/kv_service.h"
#include "server/service/scan_reader.h"
#include "server/service/unary.h"

namespace kvd::service {

// One page is read while the one before is being taken: a slow reader costs one page of memory.
class KvService::ScanStream : public std::enable_shared_from_this<ScanStream> {
 public:
  explicit ScanStream(KvService* owner) : owner_(owner), writer_(&context_) {}

  void Accept() {
    owner_->service_.RequestScan(
        &context_, &request_, &writer_, owner_->queue_, owner_->queue_, Tag([this](bool ok) {
          if (!ok) return;
          if (!owner_->stopped_) std::make_shared<ScanStream>(owner_)->Accept();
          start_ = owner_->loop_->Now();
          reader_ =
              std::make_shared<ScanReader>(owner_->loop_, owner_->dispatcher_, std::move(request_));
          NextPage();
        }));
  }

 private:
  CqTag* Tag(std::function<void(bool)> f) {
    return CqOnce::Make([self = shared_from_this(), f = std::move(f)](bool ok) { f(ok); });
  }

  void NextPage() {
    if (owner_->stopped_) return Finish(absl::UnavailableError("the store is stopping"));
    reader_->Next([self = shared_from_this()](absl::StatusOr<v1::ScanResponse> page) {
      if (!page.ok()) return self->Finish(page.status());
      self->response_ = *std::move(page);
      self->response_.clear_resume_key();
      self->response_.clear_rest_elsewhere();
      self->Write();
    });
  }

  void Write() {
    writer_.Write(response_, Tag([this](bool ok) {
                    if (!ok) return Finish(absl::CancelledError("the client went away"));
                    if (response_.done()) return Finish(absl::OkStatus());
                    NextPage();
                  }));
  }

  void Finish(const absl::Status& status) {
    owner_->metrics_->Observe(OperationKind::kScan, static_cast<int>(status.code()),
                              std::chrono::duration<double>(owner_->loop_->Now() - start_).count());
    writer_.Finish(ToGrpc(status), Tag([](bool) {}));
  }

  KvService* const owner_;
  grpc::ServerContext context_;
  v1::ScanRequest request_;
  grpc::ServerAsyncWriter<v1::ScanResponse> writer_;
  v1::ScanResponse response_;
  std::shared_ptr<ScanReader> reader_;
  MonotonicTime start_;
};

void KvService::AcceptScan() { std::make_shared<ScanStream>(this)->Accept(); }

}  // namespace kvd::service
