#include "server/service/scan_reader.h"

#include <algorithm>
#include <set>

#include "proto/error.h"
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

void ScanReader::Next(Page page) {
  page_ = std::move(page);
  progress_at_ = loop_->Now();
  if (begun_) return Ask();
  begun_ = true;
  Probe();
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

// Where several groups have the range, each is asked first, in each of its shards, how far it is:
// all pages are read at a timestamp that no earlier write of any of them is above.
void ScanReader::Probe() {
  const v1::ReadOptions& read = request_.read();
  bool now = read.consistency() == v1::ReadOptions::LINEARIZABLE ||
             (read.consistency() == v1::ReadOptions::SNAPSHOT && read.timestamp() == 0);
  std::vector<std::string> starts =
      dispatcher_->router()->StartsIn({request_.range().start(), request_.range().end()});
  std::set<GroupId> groups;
  for (const std::string& start : starts) groups.insert(dispatcher_->router()->Find(start).group);
  if (!now || groups.size() <= 1) return Ask();
  // A key that is hardly there, so that no value comes along; and that is one, as none is empty.
  for (size_t i = 0; i < starts.size(); ++i) {
    std::string behind = starts[i] + '\0';
    bool other = i + 1 < starts.size() && starts[i + 1] == behind;
    if (behind.size() <= kKeyBytesMax && !other) starts[i] = std::move(behind);
  }
  OnProbed(std::move(starts), Timestamp(), {});
}

// The next part of the shards.
void ScanReader::OnProbed(std::vector<std::string> starts, Timestamp at,
                          const v1::MultiGetResponse& answer) {
  at = std::max(at, Timestamp(answer.read_timestamp()));
  if (starts.empty()) return ReadAt(at);
  RequestItem item;
  auto* get = item.mutable_multi_get();
  *get->mutable_header() = request_.header();
  get->mutable_read()->set_mode(request_.read().mode());
  size_t count = std::min(starts.size(), kMultiGetKeysMax);
  for (size_t i = 0; i < count; ++i) get->add_keys(starts[i]);
  dispatcher_->Execute(std::move(item), [self = shared_from_this(), starts = std::move(starts), at,
                                         count](const ResponseItem& out) mutable {
    absl::Status status = ErrorOf(out);
    if (!status.ok()) {
      if (self->Again(status, [self] { self->Probe(); })) return;
      return self->Finish(status);
    }
    starts.erase(starts.begin(), starts.begin() + static_cast<ptrdiff_t>(count));
    self->OnProbed(std::move(starts), at, out.multi_get());
  });
}

void ScanReader::ReadAt(Timestamp at) {
  request_.mutable_read()->set_consistency(v1::ReadOptions::SNAPSHOT);
  request_.mutable_read()->set_timestamp(at.value());
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
  rows_ += page.count();
  if (request_.limit() != 0) {
    bool enough = page.count() >= request_.limit();
    request_.set_limit(enough ? 0 : request_.limit() - page.count());
    if (enough) page.set_done(true);
  }
  page.set_count(rows_);
  if (request_.reverse()) {
    request_.mutable_range()->set_end(page.resume_key());
  } else {
    request_.mutable_range()->set_start(page.resume_key());
  }
  request_.mutable_read()->set_consistency(v1::ReadOptions::SNAPSHOT);
  request_.mutable_read()->set_timestamp(page.read_timestamp());
  Finish(std::move(page));
}

}  // namespace kvd::service
