#include "server/service/kv_service.h"

#include "proto/error.h"
#include "proto/limits.h"
#include "server/service/unary.h"

namespace kvd::service {

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()),
                      SerializeStatus(status));
}

void PipelineForwarder::Forward(const std::string& address, RequestItem item,
                                std::function<void(absl::StatusOr<ResponseItem>)> done) {
  network_->Call(address, std::move(item), std::chrono::seconds(10), std::move(done));
}

namespace {

OperationKind KindOf(const RequestItem& item) {
  switch (item.request_case()) {
    case RequestItem::kMultiGet: return OperationKind::kMultiGet;
    case RequestItem::kPut: return OperationKind::kPut;
    case RequestItem::kAppend: return OperationKind::kAppend;
    case RequestItem::kDelete: return OperationKind::kDelete;
    case RequestItem::kIncrement: return OperationKind::kIncrement;
    case RequestItem::kDeleteRange: return OperationKind::kDeleteRange;
    case RequestItem::kBatch: return OperationKind::kBatch;
    default: return OperationKind::kGet;
  }
}

double Seconds(Duration d) { return std::chrono::duration<double>(d).count(); }

}  // namespace

void KvService::Execute(RequestItem item, ItemCallback done) {
  if (stopped_) {
    ResponseItem out;
    SetError(absl::UnavailableError("the store is stopping"), &out);
    return done(std::move(out));
  }
  OperationKind kind = KindOf(item);
  auto start = loop_->Now();
  dispatcher_->Execute(std::move(item), [this, kind, start, done = std::move(done)](ResponseItem out) {
    metrics_->Observe(kind, out.has_error() ? out.error().code() : 0, Seconds(loop_->Now() - start));
    done(std::move(out));
  });
}

// A unary method is a pipeline of one item.
#define KVD_UNARY(Method, In, Out, field, result, budget)                                         \
  Serve<v1::In, v1::Out>(                                                                         \
      32, &stopped_,                                                                              \
      [this](auto* context, auto* request, auto* responder, void* tag) {                           \
        service_.Request##Method(context, request, responder, queue_, queue_, tag);                \
      },                                                                                          \
      [this](v1::In* request, auto answer) {                                                  \
        RequestItem item;                                                                         \
        item.mutable_##field()->Swap(request);                                                    \
        Execute(std::move(item), [answer = std::move(answer)](ResponseItem out) {                  \
          answer(ErrorOf(out), out.mutable_##result());                                           \
        });                                                                                       \
      },                                                                                          \
      budget)

void KvService::StartUnary() {
  KVD_UNARY(Get, GetRequest, GetResponse, get, get, budget_);
  KVD_UNARY(MultiGet, MultiGetRequest, MultiGetResponse, multi_get, multi_get, budget_);
  KVD_UNARY(Put, PutRequest, WriteResponse, put, write, nullptr);
  KVD_UNARY(Append, AppendRequest, WriteResponse, append, write, nullptr);
  KVD_UNARY(Delete, DeleteRequest, WriteResponse, delete_, write, nullptr);
  KVD_UNARY(Increment, IncrementRequest, WriteResponse, increment, write, nullptr);
  KVD_UNARY(DeleteRange, DeleteRangeRequest, DeleteRangeResponse, delete_range, delete_range, nullptr);
  KVD_UNARY(Batch, BatchRequest, BatchResponse, batch, batch, nullptr);
}

#undef KVD_UNARY

// Many requests a message, answered out of order. Bounded: while too much is in flight, or answered
// but not yet taken by the client, nothing more is read.
class KvService::PipelineStream : public std::enable_shared_from_this<PipelineStream> {
 public:
  explicit PipelineStream(KvService* owner)
      : owner_(owner), budget_(owner->budget_), stream_(&context_) {}
  ~PipelineStream() { Left(unsent_bytes_); }

  void Accept() {
    owner_->service_.RequestPipeline(&context_, &stream_, owner_->queue_, owner_->queue_,
                                     Tag([this](bool ok) {
                                       if (!ok) return;
                                       if (!owner_->stopped_) {
                                         std::make_shared<PipelineStream>(owner_)->Accept();
                                       }
                                       // Tells the client that from now on requests may be executed.
                                       writing_ = true;
                                       stream_.SendInitialMetadata(Tag([this](bool ok) {
                                         writing_ = false;
                                         if (!ok) return Fail();
                                         Write();
                                       }));
                                       MaybeRead();
                                     }));
  }

 private:
  static constexpr size_t kUnsentBytesMax = 32 << 20;
  static constexpr size_t kMessageBytesTarget = 1 << 20;

  CqTag* Tag(std::function<void(bool)> f) {
    return CqOnce::Make([self = shared_from_this(), f = std::move(f)](bool ok) { f(ok); });
  }

  // What waits to be sent leaves room when it is written, which brings us here again; so a stream
  // that has nothing to send is never held back.
  bool HasRoom() const {
    return in_flight_ < kPipelineInFlightMax &&
           unsent_bytes_ + in_flight_bytes_ <= kUnsentBytesMax &&
           (unsent_bytes_ < AnswerBudget::kCountedBytesMin || budget_->HasRoom(0));
  }

  void MaybeRead() {
    if (reading_ || ended_ || !HasRoom() || next_item_ < request_.items_size()) return;
    reading_ = true;
    stream_.Read(&request_, Tag([this](bool ok) {
      reading_ = false;
      if (!ok) {
        ended_ = true;
        return MaybeFinish();
      }
      if (static_cast<size_t>(request_.items_size()) > kPipelineItemsMax) {
        return Refuse(LimitError("items", kPipelineItemsMax,
                                 static_cast<uint64_t>(request_.items_size()), "items"));
      }
      next_item_ = 0;
      Dispatch();
    }));
  }

  // Executes what was read, as long as there is room for the answers; goes on when some have left.
  void Dispatch() {
    while (next_item_ < request_.items_size() && HasRoom()) {
      RequestItem item = std::move(*request_.mutable_items(next_item_++));
      uint64_t id = item.id();
      size_t bytes = item.ByteSizeLong();
      ++in_flight_;
      in_flight_bytes_ += bytes;
      owner_->Execute(std::move(item), [self = shared_from_this(), id, bytes](ResponseItem out) {
        out.set_id(id);
        self->in_flight_bytes_ -= bytes;
        self->Answer(std::move(out));
      });
    }
    MaybeRead();
  }

  void Waits(size_t bytes) {
    unsent_bytes_ += bytes;
    budget_->Take(bytes);
  }

  void Left(size_t bytes) {
    unsent_bytes_ -= bytes;
    budget_->Return(bytes);
  }

  void Answer(ResponseItem out) {
    --in_flight_;
    size_t bytes = out.ByteSizeLong();
    bool read = out.has_get() || out.has_multi_get();
    if (read && bytes >= AnswerBudget::kCountedBytesMin && !budget_->HasRoom(bytes)) {
      uint64_t id = out.id();
      absl::Status status = budget_->Check(bytes);
      out.Clear();
      out.set_id(id);
      SetError(status, &out);
      bytes = out.ByteSizeLong();
    }
    Waits(bytes);
    unsent_.push_back(std::move(out));
    if (write_posted_) return;
    // Answers that come in the same turn leave together.
    write_posted_ = true;
    owner_->loop_->Post([self = shared_from_this()] {
      self->write_posted_ = false;
      if (self->next_item_ < self->request_.items_size()) self->Dispatch();
      self->Write();
    });
  }

  void Write() {
    if (writing_ || finished_) return;
    if (unsent_.empty()) return MaybeFinish();
    response_.Clear();
    size_t bytes = 0;
    size_t taken = 0;
    while (taken < unsent_.size() && bytes < kMessageBytesTarget) {
      bytes += unsent_[taken].ByteSizeLong();
      *response_.add_items() = std::move(unsent_[taken++]);
    }
    unsent_.erase(unsent_.begin(), unsent_.begin() + static_cast<ptrdiff_t>(taken));
    writing_ = true;
    stream_.Write(response_, Tag([this, bytes](bool ok) {
      writing_ = false;
      Left(bytes);
      if (!ok) return Fail();
      Dispatch();
      Write();
    }));
  }

  void Fail() {
    ended_ = true;
    next_item_ = request_.items_size();
    unsent_.clear();
    Left(unsent_bytes_);
    MaybeFinish();
  }

  void Refuse(const absl::Status& status) {
    ended_ = finished_ = true;
    stream_.Finish(ToGrpc(status), Tag([](bool) {}));
  }

  void MaybeFinish() {
    if (!ended_ || finished_ || writing_ || reading_ || in_flight_ != 0 || !unsent_.empty() ||
        next_item_ < request_.items_size()) {
      return;
    }
    finished_ = true;
    stream_.Finish(grpc::Status::OK, Tag([](bool) {}));
  }

  KvService* const owner_;
  const std::shared_ptr<AnswerBudget> budget_;
  grpc::ServerContext context_;
  grpc::ServerAsyncReaderWriter<v1::PipelineResponse, v1::PipelineRequest> stream_;
  v1::PipelineRequest request_;
  v1::PipelineResponse response_;
  bool reading_ = false;
  bool writing_ = false;
  bool write_posted_ = false;
  bool ended_ = false;     // the client sends no more
  bool finished_ = false;
  int next_item_ = 0;  // of the request read last
  size_t in_flight_ = 0;
  size_t in_flight_bytes_ = 0;
  std::vector<ResponseItem> unsent_;
  size_t unsent_bytes_ = 0;  // of those, and of what is being written; taken from the budget
};

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
                              Seconds(owner_->loop_->Now() - start_));
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

void KvService::Start(grpc::ServerCompletionQueue* queue) {
  queue_ = queue;
  StartUnary();
  std::make_shared<PipelineStream>(this)->Accept();
  std::make_shared<ScanStream>(this)->Accept();
}

}  // namespace kvd::service
