#include "server/service/scan_reader.h"

#include <algorithm>

#include "proto/error.h"
#include "proto/fault_point.h"
#include "proto/limits.h"

namespace kvd::service {
namespace {

// Where no leader is known, or the one that is does not lead any more, or a shard is on its way:
// asked again this often, and no longer than an election may take without any page.
constexpr Duration kAgainAfter = milliseconds(20);
constexpr Duration kAgainMax = std::chrono::seconds(3);

bool MayPass(const absl::Status& status) {
  ErrorKind kind = InfoOf(status).kind;
  return kind == ErrorKind::kNotLeader || kind == ErrorKind::kShardMoved ||
         kind == ErrorKind::kBusy || absl::IsUnavailable(status);
}

}  // namespace

ScanReader::ScanReader(Loop* loop, Dispatcher* dispatcher, v1::ScanRequest request)
    : loop_(loop), dispatcher_(dispatcher), request_(std::move(request)) {
  request_.clear_probe();
  const v1::ReadOptions& read = request_.read();
  as_of_now_ = read.consistency() == v1::ReadOptions::LINEARIZABLE ||
               (read.consistency() == v1::ReadOptions::SNAPSHOT && read.timestamp() == 0);
}

void ScanReader::Next(Page page) {
  page_ = std::move(page);
  progress_at_ = loop_->Now();
  Ask();
}

void ScanReader::Finish(absl::StatusOr<v1::ScanResponse> page) {
  Page told = std::move(page_);
  page_ = nullptr;
  told(std::move(page));
}

bool ScanReader::Again(const absl::Status& status, const std::function<void()>& what) {
  if (!MayPass(status) || loop_->Now() - progress_at_ >= kAgainMax) return false;
  again_ = loop_->After(kAgainAfter, [self = shared_from_this(), what] {
    // Not from within its own timer.
    self->loop_->Post([self, what] {
      self->again_.reset();
      what();
    });
  });
  return true;
}

void ScanReader::GoOn(const v1::ScanResponse& page, v1::ScanRequest* request) {
  if (request->reverse()) {
    request->mutable_range()->set_end(page.resume_key());
  } else {
    request->mutable_range()->set_start(page.resume_key());
  }
}

// One group after the other, as each says where the next one begins.
void ScanReader::Probe() {
  KVD_FAULT_POINT(kScanProbes);
  RequestItem item;
  *item.mutable_scan() = probe_;
  dispatcher_->Execute(std::move(item), [self = shared_from_this()](const ResponseItem& answer) {
    self->OnProbed(answer);
  });
}

void ScanReader::OnProbed(const ResponseItem& answer) {
  absl::Status status = ErrorOf(answer);
  if (!status.ok()) {
    if (Again(status, [self = shared_from_this()] { self->Probe(); })) return;
    return Finish(status);
  }
  progress_at_ = loop_->Now();
  at_ = std::max(at_, Timestamp(answer.scan().read_timestamp()));
  if (!answer.scan().done()) {
    GoOn(answer.scan(), &probe_);
    return Probe();
  }
  as_of_now_ = false;
  request_.mutable_read()->set_consistency(v1::ReadOptions::SNAPSHOT);
  request_.mutable_read()->set_timestamp(at_.value());
  Ask();
}

void ScanReader::Ask() {
  RequestItem item;
  *item.mutable_scan() = request_;
  dispatcher_->Execute(std::move(item), [self = shared_from_this()](ResponseItem out) {
    self->OnAnswer(std::move(out));
  });
}

void ScanReader::OnAnswer(ResponseItem answer) {
  absl::Status status = ErrorOf(answer);
  if (!status.ok()) {
    if (Again(status, [self = shared_from_this()] { self->Ask(); })) return;
    return Finish(status);
  }
  v1::ScanResponse page = std::move(*answer.mutable_scan());
  bool enough = request_.limit() != 0 && page.count() >= request_.limit();
  if (as_of_now_ && page.rest_elsewhere() && !enough) {
    // The page was read as of when its own group is: all of it is read again.
    at_ = Timestamp(page.read_timestamp());
    probe_ = request_;
    probe_.set_probe(true);
    return Probe();
  }
  as_of_now_ = false;
  rows_ += page.count();
  if (request_.limit() != 0) {
    request_.set_limit(enough ? 0 : request_.limit() - page.count());
    if (enough) page.set_done(true);
  }
  page.set_count(rows_);
  GoOn(page, &request_);
  request_.mutable_read()->set_consistency(v1::ReadOptions::SNAPSHOT);
  request_.mutable_read()->set_timestamp(page.read_timestamp());
  Finish(std::move(page));
}

}  // namespace kvd::service
