#include "kvd/client.h"

#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/src/client_impl.h"
#include "client/src/convert.h"
#include "client/src/range_deletion.h"
#include "client/src/split_batch.h"
#include "proto/error.h"
#include "raft/runtime/mutex.h"

namespace kvd {

namespace {

// Waits for a callback's one result.
template <class T>
class Waiter {
 public:
  void Set(T value) {
    MutexLock lock(&mutex_);
    value_.emplace(std::move(value));
    changed_.NotifyOne();
  }
  T Wait() {
    MutexLock lock(&mutex_);
    while (!value_.has_value()) changed_.Wait(&mutex_);
    return *std::move(value_);
  }

 private:
  Mutex mutex_;
  ConditionVariable changed_;
  std::optional<T> value_ ABSL_GUARDED_BY(mutex_);
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

absl::StatusOr<std::optional<Value>> ClientImpl::Get(std::string_view key,
                                                     const ReadOptions& options) {
  return GetAnswer(key, Call(GetItem(key, options), options.deadline));
}

absl::StatusOr<std::vector<std::optional<Value>>> ClientImpl::MultiGet(
    const std::vector<std::string>& keys, const ReadOptions& options) {
  return MultiGetAnswer(keys, Call(MultiGetItem(keys, options), options.deadline));
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
  Waiter<absl::StatusOr<BatchResult>> waiter;
  AsyncBatch(operations, options, otherwise, [&](auto result) { waiter.Set(std::move(result)); });
  return waiter.Wait();
}

absl::StatusOr<DeleteRangeResult> ClientImpl::DeleteRange(std::string_view start,
                                                          std::string_view end) {
  Waiter<absl::StatusOr<DeleteRangeResult>> waiter;
  loop_.Post([&] {
    std::make_shared<RangeDeletion>(&loop_, session_.get(), options_.deadline, std::string(start),
                                    std::string(end),
                                    [&](auto result) { waiter.Set(std::move(result)); })
        ->Start();
  });
  return waiter.Wait();
}

void ClientImpl::AsyncGet(std::string_view key, const ReadOptions& options, GetCallback done) {
  Submit(GetItem(key, options), options.deadline,
         [key = std::string(key), done = std::move(done)](auto answer) {
           done(GetAnswer(key, std::move(answer)));
         });
}

void ClientImpl::AsyncMultiGet(const std::vector<std::string>& keys, const ReadOptions& options,
                               MultiGetCallback done) {
  Submit(MultiGetItem(keys, options), options.deadline,
         [keys, done = std::move(done)](auto answer) {
           done(MultiGetAnswer(keys, std::move(answer)));
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

void ClientImpl::AsyncDelete(std::string_view key, const WriteOptions& options,
                             WriteCallback done) {
  Submit(DeleteItem(key, options), options.deadline,
         [done = std::move(done)](auto answer) { done(WriteAnswer(answer)); });
}

void ClientImpl::AsyncIncrement(std::string_view key, int64_t delta, const WriteOptions& options,
                                WriteCallback done) {
  Submit(IncrementItem(key, delta, options), options.deadline,
         [done = std::move(done)](auto answer) { done(WriteAnswer(answer)); });
}

void ClientImpl::AsyncBatch(const std::vector<Operation>& operations, const WriteOptions& options,
                            const std::vector<Operation>& otherwise, BatchCallback done) {
  if (options.atomic) {
    Submit(BatchItem(operations, options, otherwise), options.deadline,
           [done = std::move(done)](auto answer) { done(BatchAnswer(answer)); });
    return;
  }
  if (!options.conditions.empty() || !otherwise.empty()) {
    return done(absl::InvalidArgumentError(
        "a batch that is not atomic has neither conditions nor `otherwise`"));
  }
  auto limit = options.deadline.value_or(options_.deadline);
  loop_.Post([this, operations, limit, done = std::move(done)]() mutable {
    std::make_shared<SplitBatch>(&loop_, session_.get(), loop_.Now() + limit, std::move(operations),
                                 std::move(done))
        ->Start();
  });
}

}  // namespace client
}  // namespace kvd
