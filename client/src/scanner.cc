// A scan over a server stream, read on the caller's thread; resumed at another store, at the same
// timestamp, when the stream breaks.
#include <thread>

#include "client/src/client_impl.h"
#include "kvd/v1/kv.grpc.pb.h"
#include "proto/crc32c.h"
#include "proto/error.h"

namespace kvd::client {
namespace {

class StreamScanner : public Scanner {
 public:
  StreamScanner(ClientImpl* client, const ScanOptions& options)
      : client_(client),
        deadline_(std::chrono::steady_clock::now() +
                  options.read.deadline.value_or(client->options().deadline)) {
    request_.mutable_range()->set_start(options.start);
    request_.mutable_range()->set_end(options.end);
    request_.set_limit(options.limit);
    request_.set_reverse(options.reverse);
    request_.set_keys_only(options.keys_only);
    request_.set_count_only(options.count_only);
    request_.mutable_header()->set_cluster_id(client->options().cluster_id);
    auto* read = request_.mutable_read();
    if (options.read.consistency == Consistency::kSnapshot) {
      read->set_consistency(v1::ReadOptions::SNAPSHOT);
      read->set_timestamp(options.read.timestamp);
    } else if (options.read.consistency == Consistency::kBoundedStale) {
      read->set_consistency(v1::ReadOptions::BOUNDED_STALE);
      read->set_staleness_ms_max(static_cast<uint64_t>(options.read.staleness_max.count()));
    }
  }

  ~StreamScanner() override { CloseStream(); }

  bool Next() override {
    while (!finished_) {
      if (position_ < page_.rows_size()) return TakeRow(page_.mutable_rows(position_++));
      if (page_.done()) {
        finished_ = true;
        break;
      }
      NextPage();
    }
    return false;
  }

  const std::string& key() const override { return key_; }
  const Value& value() const override { return value_; }
  absl::Status status() const override { return status_; }
  uint64_t count() const override { return request_.count_only() ? page_.count() : rows_; }
  uint64_t timestamp() const override { return request_.read().timestamp(); }

 private:
  bool TakeRow(v1::ScanResponse::Row* row) {
    key_ = std::move(*row->mutable_key());
    v1::Version* version = row->mutable_version();
    if (!request_.keys_only() && ValueChecksum(key_, version->value()) != version->crc32c()) {
      return Fail(CorruptionError("the value received does not match its checksum", key_));
    }
    value_ = {std::move(*version->mutable_value()), version->version(), version->expires_at()};
    ++rows_;
    // Where to go on, should the stream break.
    if (request_.reverse()) {
      request_.mutable_range()->set_end(key_);
    } else {
      request_.mutable_range()->set_start(key_ + '\0');
    }
    return true;
  }

  bool Fail(absl::Status status) {
    status_ = std::move(status);
    finished_ = true;
    return false;
  }

  void NextPage() {
    if (stream_ == nullptr && !Open()) return;
    page_.Clear();
    position_ = 0;
    if (stream_->Read(&page_)) {
      // All that follows, on whatever store, looks at the same instant.
      request_.mutable_read()->set_consistency(v1::ReadOptions::SNAPSHOT);
      request_.mutable_read()->set_timestamp(page_.read_timestamp());
      failures_ = 0;
      return;
    }
    absl::Status status = FromGrpc(stream_->Finish());
    CloseStream();
    if (status.ok()) status = absl::UnavailableError("the stream ended early");
    Retry(status);
  }

  bool Open() {
    if (request_.limit() != 0 && rows_ >= request_.limit()) {
      finished_ = true;
      return false;
    }
    address_ = client_->PickAddress(failures_ > 0);
    stub_ = v1::Kv::NewStub(client_->ChannelTo(address_));
    context_ = std::make_unique<grpc::ClientContext>();
    context_->set_deadline(std::chrono::system_clock::now() +
                           (deadline_ - std::chrono::steady_clock::now()));
    v1::ScanRequest request = request_;
    if (request.limit() != 0) request.set_limit(request.limit() - rows_);
    stream_ = stub_->Scan(context_.get(), request);
    return true;
  }

  void Retry(const absl::Status& status) {
    bool passing = absl::IsUnavailable(status) || absl::IsResourceExhausted(status);
    // A count is not resumed: what was counted before is not in the range any more.
    if (!passing) {
      Fail(status);
      return;
    }
    if (std::chrono::steady_clock::now() >= deadline_) {
      Fail(absl::DeadlineExceededError("no store answered the scan in time; last: " + address_ +
                                       ": " + std::string(status.message())));
      return;
    }
    ++failures_;
    std::this_thread::sleep_for(std::chrono::milliseconds(std::min(20 * failures_, 500)));
  }

  void CloseStream() {
    if (stream_ == nullptr) return;
    context_->TryCancel();
    v1::ScanResponse ignored;
    while (stream_->Read(&ignored)) {
    }
    stream_.reset();
  }

  ClientImpl* const client_;
  const std::chrono::steady_clock::time_point deadline_;
  v1::ScanRequest request_;
  std::string address_;
  std::unique_ptr<v1::Kv::Stub> stub_;
  std::unique_ptr<grpc::ClientContext> context_;
  std::unique_ptr<grpc::ClientReader<v1::ScanResponse>> stream_;
  v1::ScanResponse page_;
  int position_ = 0;
  int failures_ = 0;
  uint64_t rows_ = 0;
  bool finished_ = false;
  absl::Status status_;
  std::string key_;
  Value value_;
};

}  // namespace

std::unique_ptr<Scanner> ClientImpl::Scan(const ScanOptions& options) {
  return std::make_unique<StreamScanner>(this, options);
}

std::string ClientImpl::PickAddress(bool another) {
  std::string address;
  OnLoop([&] {
    address = session_->leader();
    if (another || address.empty()) address = session_->NextAddress();
  });
  return address;
}

std::shared_ptr<grpc::Channel> ClientImpl::ChannelTo(const std::string& address) {
  std::shared_ptr<grpc::Channel> channel;
  OnLoop([&] { channel = network_.ChannelTo(address); });
  return channel;
}

}  // namespace kvd::client
