// The Scan method of the Kv service.
#include "proto/error.h"
#include "server/service/kv_service.h"
#include "server/service/unary.h"

namespace kvd::service {

namespace {

// Where no leader is known, or the one that is does not lead any more: asked again this often,
// within the deadline and no longer than an election may take. Without an answer a client asks at
// once again.
constexpr Duration kLookAgainAfter = milliseconds(20);
constexpr Duration kLeaderWaitMax = std::chrono::seconds(3);

}  // namespace

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

  // Before the first page: the scan belongs to the leader, which may be another store, or not be
  // known.
  void NotHere(const absl::Status& status) {
    if (InfoOf(status).kind != ErrorKind::kNotLeader || request_.header().forwarded()) {
      return Finish(status);
    }
    std::string leader = owner_->dispatcher_->LeaderAddress();
    bool elsewhere = !leader.empty() && leader != owner_->dispatcher_->identity().address;
    if (!elsewhere) return LookAgain(status);
    Forward(leader);
  }

  // A read may be asked for any number of times.
  void LookAgain(const absl::Status& status) {
    auto now = owner_->loop_->Now();
    if (now - start_ >= kLeaderWaitMax || std::chrono::system_clock::now() >= context_.deadline()) {
      return Finish(status);
    }
    look_again_ = owner_->loop_->After(kLookAgainAfter, [self = shared_from_this()] {
      // Not from within its own timer.
      self->owner_->loop_->Post([self] {
        self->look_again_.reset();
        self->Prepare();
      });
    });
  }

  void Forward(const std::string& leader) {
    v1::ScanRequest request = request_;
    request.mutable_header()->set_forwarded(true);
    forwarded_ = std::make_unique<Forwarded>();
    forwarded_->context.set_deadline(context_.deadline());
    forwarded_->stub = v1::Kv::NewStub(owner_->network_->ChannelTo(leader));
    forwarded_->reader =
        forwarded_->stub->PrepareAsyncScan(&forwarded_->context, request, owner_->loop_->queue());
    forwarded_->reader->StartCall(Tag([this](bool) { Relay(); }));
  }

  void Relay() {
    forwarded_->reader->Read(&response_, Tag([this](bool ok) {
      if (!ok)
        return forwarded_->reader->Finish(&forwarded_->status, Tag([this](bool) { Relayed(); }));
      relayed_ = true;
      writer_.Write(response_, Tag([this](bool ok) {
                      if (!ok) forwarded_->context.TryCancel();
                      Relay();
                    }));
    }));
  }

  // Once pages have left, only the client knows where to go on.
  void Relayed() {
    absl::Status status = client::FromGrpc(forwarded_->status);
    if (absl::IsUnavailable(status) && !relayed_) return LookAgain(status);
    Finish(status);
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
  std::unique_ptr<Timer> look_again_;
  // While another store answers.
  struct Forwarded {
    std::unique_ptr<v1::Kv::Stub> stub;
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientAsyncReader<v1::ScanResponse>> reader;
    grpc::Status status;
  };
  std::unique_ptr<Forwarded> forwarded_;
  bool relayed_ = false;  // a page of its answer
};

void KvService::AcceptScan() { std::make_shared<ScanStream>(this)->Accept(); }

}  // namespace kvd::service
