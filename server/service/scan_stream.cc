// The Scan method of the Kv service.
#include "proto/error.h"
#include "server/service/kv_service.h"
#include "server/service/unary.h"

namespace kvd::service {

// One page is read while the one before is being taken: a slow reader costs one page of memory.
class KvService::ScanStream : public std::enable_shared_from_this<ScanStream> {
 public:
  explicit ScanStream(KvService* owner) : owner_(owner), writer_(&context_) {}

  void Accept() {
    owner_->service_.RequestScan(&context_, &request_, &writer_, owner_->queue_, owner_->queue_,
                                 Tag([this](bool ok) {
                                   if (!ok) return;
                                   if (!owner_->stopped_) {
                                     std::make_shared<ScanStream>(owner_)->Accept();
                                   }
                                   start_ = owner_->loop_->Now();
                                   Prepare();
                                 }));
  }

 private:
  CqTag* Tag(std::function<void(bool)> f) {
    return CqOnce::Make([self = shared_from_this(), f = std::move(f)](bool ok) { f(ok); });
  }

  void Prepare() {
    if (owner_->stopped_) return Finish(absl::UnavailableError("the store is stopping"));
    owner_->dispatcher_->PrepareScan(request_, [self = shared_from_this()](auto point) {
      if (!point.ok()) return self->NotHere(point.status());
      self->point_ = *point;
      self->NextPage();
    });
  }

  void NextPage() {
    if (owner_->stopped_) return Finish(absl::UnavailableError("the store is stopping"));
    auto page = owner_->dispatcher_->ReadPage(request_, point_, rows_);
    if (!page.ok()) return Finish(page.status());
    // Confirmed once: all pages look at the same timestamp.
    if (!confirmed_ && !owner_->dispatcher_->group()->Confirm(point_)) {
      request_.mutable_read()->set_mode(v1::ReadOptions::MODE_READ_INDEX);
      return Prepare();
    }
    confirmed_ = true;
    response_ = std::move(page->response);
    rows_ = response_.count();
    if (request_.reverse()) {
      request_.mutable_range()->set_end(page->resume_key);
    } else {
      request_.mutable_range()->set_start(page->resume_key);
    }
    writer_.Write(response_, Tag([this](bool ok) {
      if (!ok) return Finish(absl::CancelledError("the client went away"));
      if (response_.done()) return Finish(absl::OkStatus());
      NextPage();
    }));
  }

  void NotHere(const absl::Status& status) {
    std::string leader = owner_->dispatcher_->LeaderAddress();
    bool elsewhere = InfoOf(status).kind == ErrorKind::kNotLeader && !leader.empty() &&
                     leader != owner_->dispatcher_->identity().address;
    if (!elsewhere || request_.header().forwarded()) return Finish(status);
    request_.mutable_header()->set_forwarded(true);
    auto stub = v1::Kv::NewStub(owner_->network_->ChannelTo(leader));
    reader_ = stub->PrepareAsyncScan(&client_context_, request_, owner_->loop_->queue());
    stub_ = std::move(stub);
    reader_->StartCall(Tag([this](bool) { Relay(); }));
  }

  void Relay() {
    reader_->Read(&response_, Tag([this](bool ok) {
      if (!ok) {
        reader_->Finish(&status_, Tag([this](bool) { Finish(client::FromGrpc(status_)); }));
        return;
      }
      writer_.Write(response_, Tag([this](bool ok) {
        if (!ok) client_context_.TryCancel();
        Relay();
      }));
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
  shard::ReadPoint point_;
  bool confirmed_ = false;
  uint64_t rows_ = 0;
  MonotonicTime start_;
  // While another store answers.
  std::unique_ptr<v1::Kv::Stub> stub_;
  grpc::ClientContext client_context_;
  std::unique_ptr<grpc::ClientAsyncReader<v1::ScanResponse>> reader_;
  grpc::Status status_;
};

void KvService::AcceptScan() { std::make_shared<ScanStream>(this)->Accept(); }

}  // namespace kvd::service
