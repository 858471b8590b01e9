#include "kvd/client.h"

#include <condition_variable>
#include <mutex>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/src/client_impl.h"
#include "proto/crc32c.h"
#include "proto/error.h"
#include "proto/limits.h"

namespace kvd {

using client::RequestItem;
using client::ResponseItem;

namespace {

void FillRead(const ReadOptions& options, v1::ReadOptions* out) {
  switch (options.consistency) {
    case Consistency::kLinearizable: break;
    case Consistency::kSnapshot: out->set_consistency(v1::ReadOptions::SNAPSHOT); break;
    case Consistency::kBoundedStale: out->set_consistency(v1::ReadOptions::BOUNDED_STALE); break;
  }
  out->set_timestamp(options.timestamp);
  if (options.consistency == Consistency::kBoundedStale) {
    out->set_staleness_ms_max(static_cast<uint64_t>(options.staleness_max.count()));
  }
}

template <class Request>
void FillConditions(const WriteOptions& options, Request* request) {
  for (const Condition& in : options.conditions) {
    v1::Condition* out = request->add_conditions();
    out->set_key(in.key);
    switch (in.test) {
      case Condition::Test::kValueEquals: out->set_value_equals(in.value); break;
      case Condition::Test::kVersionEquals: out->set_version_equals(in.version); break;
      case Condition::Test::kAbsent: out->set_absent(true); break;
      case Condition::Test::kPresent: out->set_absent(false); break;
    }
  }
}

void FillOperation(const Operation& in, v1::BatchOperation* out) {
  out->set_key(in.key);
  switch (in.type) {
    case Operation::Type::kPut:
      out->mutable_put()->set_value(in.value);
      out->mutable_put()->set_crc32c(ValueChecksum(in.key, in.value));
      out->mutable_put()->set_has_crc32c(true);
      break;
    case Operation::Type::kAppend:
      out->mutable_append()->set_suffix(in.value);
      out->mutable_append()->set_crc32c(ValueChecksum(in.key, in.value));
      out->mutable_append()->set_has_crc32c(true);
      break;
    case Operation::Type::kDelete: out->mutable_delete_(); break;
    case Operation::Type::kIncrement: out->mutable_increment()->set_delta(in.delta); break;
  }
}

absl::StatusOr<std::optional<Value>> TakeValue(std::string_view key, bool found,
                                               v1::Version* version) {
  if (!found) return std::nullopt;
  if (ValueChecksum(key, version->value()) != version->crc32c()) {
    return CorruptionError("the value received does not match its checksum", key);
  }
  return Value{std::move(*version->mutable_value()), version->version(), version->expires_at()};
}

WriteResult ToResult(const v1::WriteResponse& in) {
  WriteResult out;
  out.applied = in.applied();
  out.version = in.version();
  out.existed = in.existed();
  out.counter = in.counter();
  out.length = in.length();
  out.failed_condition = in.failed_condition();
  out.current_version = in.current_version();
  return out;
}

// Waits for a callback's one result.
template <class T>
class Waiter {
 public:
  void Set(T value) {
    std::lock_guard<std::mutex> lock(mutex_);
    value_.emplace(std::move(value));
    changed_.notify_one();
  }
  T Wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return value_.has_value(); });
    return *std::move(value_);
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<T> value_;
};

absl::Status CheckAddress(const std::string& address) {
  size_t colon = address.rfind(':');
  uint32_t port = 0;
  if (colon == std::string::npos || colon == 0 ||
      !absl::SimpleAtoi(address.substr(colon + 1), &port) || port == 0 || port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("address ", address, " is not HOST:PORT"));
  }
  return absl::OkStatus();
}

}  // namespace

Condition Condition::ValueEquals(std::string key, std::string value) {
  return {std::move(key), Test::kValueEquals, std::move(value), 0};
}
Condition Condition::VersionEquals(std::string key, uint64_t version) {
  return {std::move(key), Test::kVersionEquals, "", version};
}
Condition Condition::Absent(std::string key) { return {std::move(key), Test::kAbsent, "", 0}; }
Condition Condition::Present(std::string key) { return {std::move(key), Test::kPresent, "", 0}; }

Operation Operation::Put(std::string key, std::string value) {
  return {Type::kPut, std::move(key), std::move(value), 0};
}
Operation Operation::Append(std::string key, std::string suffix) {
  return {Type::kAppend, std::move(key), std::move(suffix), 0};
}
Operation Operation::Delete(std::string key) { return {Type::kDelete, std::move(key), "", 0}; }
Operation Operation::Increment(std::string key, int64_t delta) {
  return {Type::kIncrement, std::move(key), "", delta};
}

bool IsOutcomeUnknown(const absl::Status& status) {
  return InfoOf(status).kind == ErrorKind::kOutcomeUnknown;
}

absl::StatusOr<std::unique_ptr<Client>> Client::Connect(const ClientOptions& options) {
  if (options.addresses.empty()) return absl::InvalidArgumentError("addresses: none given");
  for (const std::string& address : options.addresses) {
    absl::Status valid = CheckAddress(address);
    if (!valid.ok()) return valid;
  }
  return std::make_unique<client::ClientImpl>(options);
}

namespace client {

ClientImpl::ClientImpl(const ClientOptions& options)
    : options_(options),
      loop_(std::make_unique<grpc::CompletionQueue>()),
      network_(&loop_),
      thread_([this] { loop_.Run(); }) {
  SessionOptions session;
  session.addresses = options.addresses;
  session.cluster = ClusterId(options.cluster_id);
  OnLoop([this, session] { session_ = std::make_unique<Session>(&loop_, &network_, session); });
}

ClientImpl::~ClientImpl() {
  OnLoop([this] {
    session_->FailAll();
    network_.Stop();
  });
  loop_.Stop();
  thread_.join();
  loop_.Drain();
}

void ClientImpl::OnLoop(std::function<void()> f) {
  Waiter<bool> done;
  loop_.Post([&] {
    f();
    done.Set(true);
  });
  done.Wait();
}

void ClientImpl::Submit(RequestItem item, std::optional<std::chrono::milliseconds> deadline,
                        Session::Callback done) {
  auto limit = deadline.value_or(options_.deadline);
  loop_.Post([this, item = std::move(item), limit, done = std::move(done)]() mutable {
    session_->Submit(std::move(item), loop_.Now() + limit, std::move(done));
  });
}

absl::StatusOr<ResponseItem> ClientImpl::Call(RequestItem item,
                                              std::optional<std::chrono::milliseconds> deadline) {
  Waiter<absl::StatusOr<ResponseItem>> waiter;
  Submit(std::move(item), deadline, [&](auto answer) { waiter.Set(std::move(answer)); });
  return waiter.Wait();
}

// What a call of one key sends.
namespace {

RequestItem GetItem(std::string_view key, const ReadOptions& options) {
  RequestItem item;
  item.mutable_get()->set_key(std::string(key));
  FillRead(options, item.mutable_get()->mutable_read());
  return item;
}

RequestItem PutItem(std::string_view key, std::string_view value, const WriteOptions& options) {
  RequestItem item;
  v1::PutRequest* put = item.mutable_put();
  put->set_key(std::string(key));
  put->set_value(std::string(value));
  put->set_crc32c(ValueChecksum(key, value));
  put->set_has_crc32c(true);
  put->set_ttl_ms(static_cast<uint64_t>(options.ttl.count()));
  FillConditions(options, put);
  return item;
}

RequestItem AppendItem(std::string_view key, std::string_view suffix, const WriteOptions& options) {
  RequestItem item;
  v1::AppendRequest* append = item.mutable_append();
  append->set_key(std::string(key));
  append->set_suffix(std::string(suffix));
  append->set_crc32c(ValueChecksum(key, suffix));
  append->set_has_crc32c(true);
  FillConditions(options, append);
  return item;
}

RequestItem DeleteItem(std::string_view key, const WriteOptions& options) {
  RequestItem item;
  item.mutable_delete_()->set_key(std::string(key));
  FillConditions(options, item.mutable_delete_());
  return item;
}

RequestItem IncrementItem(std::string_view key, int64_t delta, const WriteOptions& options) {
  RequestItem item;
  item.mutable_increment()->set_key(std::string(key));
  item.mutable_increment()->set_delta(delta);
  FillConditions(options, item.mutable_increment());
  return item;
}

absl::StatusOr<WriteResult> WriteAnswer(const absl::StatusOr<ResponseItem>& answer) {
  if (!answer.ok()) return answer.status();
  return ToResult(answer->write());
}

absl::StatusOr<std::optional<Value>> GetAnswer(std::string_view key,
                                               absl::StatusOr<ResponseItem> answer) {
  if (!answer.ok()) return answer.status();
  v1::GetResponse* get = answer->mutable_get();
  return TakeValue(key, get->found(), get->mutable_version());
}

}  // namespace

absl::StatusOr<std::optional<Value>> ClientImpl::Get(std::string_view key,
                                                     const ReadOptions& options) {
  return GetAnswer(key, Call(GetItem(key, options), options.deadline));
}

absl::StatusOr<std::vector<std::optional<Value>>> ClientImpl::MultiGet(
    const std::vector<std::string>& keys, const ReadOptions& options) {
  RequestItem item;
  for (const std::string& key : keys) item.mutable_multi_get()->add_keys(key);
  FillRead(options, item.mutable_multi_get()->mutable_read());
  auto answer = Call(std::move(item), options.deadline);
  if (!answer.ok()) return answer.status();
  std::vector<std::optional<Value>> values;
  for (int i = 0; i < answer->multi_get().items_size(); ++i) {
    auto* found = answer->mutable_multi_get()->mutable_items(i);
    auto value = TakeValue(keys[static_cast<size_t>(i)], found->found(), found->mutable_version());
    if (!value.ok()) return value.status();
    values.push_back(*std::move(value));
  }
  return values;
}

absl::StatusOr<WriteResult> ClientImpl::Put(std::string_view key, std::string_view value,
                                            const WriteOptions& options) {
  return WriteAnswer(Call(PutItem(key, value, options), options.deadline));
}

absl::StatusOr<WriteResult> ClientImpl::Append(std::string_view key, std::string_view suffix,
                                               const WriteOptions& options) {
  return WriteAnswer(Call(AppendItem(key, suffix, options), options.deadline));
}

absl::StatusOr<WriteResult> ClientImpl::Delete(std::string_view key, const WriteOptions& options) {
  return WriteAnswer(Call(DeleteItem(key, options), options.deadline));
}

absl::StatusOr<WriteResult> ClientImpl::Increment(std::string_view key, int64_t delta,
                                                  const WriteOptions& options) {
  return WriteAnswer(Call(IncrementItem(key, delta, options), options.deadline));
}

absl::StatusOr<BatchResult> ClientImpl::Batch(const std::vector<Operation>& operations,
                                              const WriteOptions& options,
                                              const std::vector<Operation>& otherwise) {
  RequestItem item;
  for (const Operation& op : operations) FillOperation(op, item.mutable_batch()->add_operations());
  for (const Operation& op : otherwise) FillOperation(op, item.mutable_batch()->add_otherwise());
  FillConditions(options, item.mutable_batch());
  auto answer = Call(std::move(item), options.deadline);
  if (!answer.ok()) return answer.status();
  BatchResult result;
  result.conditions_held = answer->batch().conditions_held();
  result.version = answer->batch().version();
  for (const auto& in : answer->batch().items()) {
    WriteResult& out = result.items.emplace_back();
    out.version = result.version;
    out.existed = in.existed();
    out.counter = in.counter();
    out.length = in.length();
  }
  return result;
}

absl::StatusOr<DeleteRangeResult> ClientImpl::DeleteRange(std::string_view start,
                                                          std::string_view end) {
  DeleteRangeResult result;
  std::string from(start);
  while (true) {
    RequestItem item;
    item.mutable_delete_range()->mutable_range()->set_start(from);
    item.mutable_delete_range()->mutable_range()->set_end(std::string(end));
    auto answer = Call(std::move(item), std::nullopt);
    if (!answer.ok()) return answer.status();
    result.deleted += answer->delete_range().deleted();
    if (!answer->delete_range().more()) return result;
    from = answer->delete_range().resume_key();
  }
}

void ClientImpl::AsyncGet(std::string_view key, const ReadOptions& options, GetCallback done) {
  Submit(GetItem(key, options), options.deadline,
         [key = std::string(key), done = std::move(done)](auto answer) {
           done(GetAnswer(key, std::move(answer)));
         });
}

void ClientImpl::AsyncPut(std::string_view key, std::string_view value, const WriteOptions& options,
                          WriteCallback done) {
  Submit(PutItem(key, value, options), options.deadline,
         [done = std::move(done)](auto answer) { done(WriteAnswer(answer)); });
}

void ClientImpl::AsyncAppend(std::string_view key, std::string_view suffix,
                             const WriteOptions& options, WriteCallback done) {
  Submit(AppendItem(key, suffix, options), options.deadline,
         [done = std::move(done)](auto answer) { done(WriteAnswer(answer)); });
}

void ClientImpl::AsyncDelete(std::string_view key, const WriteOptions& options, WriteCallback done) {
  Submit(DeleteItem(key, options), options.deadline,
         [done = std::move(done)](auto answer) { done(WriteAnswer(answer)); });
}

void ClientImpl::AsyncIncrement(std::string_view key, int64_t delta, const WriteOptions& options,
                                WriteCallback done) {
  Submit(IncrementItem(key, delta, options), options.deadline,
         [done = std::move(done)](auto answer) { done(WriteAnswer(answer)); });
}

}  // namespace client
}  // namespace kvd
