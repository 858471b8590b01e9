// The Pipeline method of the Kv service.
#include <vector>

#include "proto/error.h"
#include "proto/limits.h"
#include "proto/seal.h"
#include "server/service/kv_service.h"
#include "server/service/unary.h"

namespace kvd::service {

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
                                       // Tells the client that from now on requests may be
                                       // executed.
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
      bool sealed = item.has_sealed();
      if (sealed && !Unseal(&item)) {
        return Refuse(absl::DataLossError("items.sealed: a request was damaged on its way"));
      }
      uint64_t id = item.id();
      size_t bytes = item.ByteSizeLong();
      ++in_flight_;
      in_flight_bytes_ += bytes;
      owner_->Execute(std::move(item),
                      [self = shared_from_this(), id, bytes, sealed](ResponseItem out) {
                        out.set_id(id);
                        self->in_flight_bytes_ -= bytes;
                        self->Answer(std::move(out), sealed);
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

  void Answer(ResponseItem out, bool sealed) {
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
    if (sealed) {
      Seal(&out);
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

  // Takes no more, and ends the stream when what is under way is answered.
  void Refuse(const absl::Status& status) {
    end_ = status;
    ended_ = true;
    next_item_ = request_.items_size();
    MaybeFinish();
  }

  void MaybeFinish() {
    if (!ended_ || finished_ || writing_ || reading_ || in_flight_ != 0 || !unsent_.empty() ||
        next_item_ < request_.items_size()) {
      return;
    }
    finished_ = true;
    stream_.Finish(ToGrpc(end_), Tag([](bool) {}));
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
  bool ended_ = false;  // the client sends no more
  bool finished_ = false;
  absl::Status end_;   // what the client is told
  int next_item_ = 0;  // of the request read last
  size_t in_flight_ = 0;
  size_t in_flight_bytes_ = 0;
  std::vector<ResponseItem> unsent_;
  size_t unsent_bytes_ = 0;  // of those, and of what is being written; taken from the budget
};

void KvService::AcceptPipeline() { std::make_shared<PipelineStream>(this)->Accept(); }

}  // namespace kvd::service
