// The client behind the public header: a session on a thread of its own.
#pragma once

#include <memory>
#include <thread>

#include "client/src/grpc_network.h"
#include "client/src/session.h"
#include "kvd/client.h"
#include "raft/runtime/cq_loop.h"

namespace kvd::client {

class ClientImpl : public Client {
 public:
  explicit ClientImpl(const ClientOptions& options);
  ~ClientImpl() override;

  absl::StatusOr<std::optional<Value>> Get(std::string_view key,
                                           const ReadOptions& options) override;
  absl::StatusOr<std::vector<std::optional<Value>>> MultiGet(const std::vector<std::string>& keys,
                                                             const ReadOptions& options) override;
  absl::StatusOr<WriteResult> Put(std::string_view key, std::string_view value,
                                  const WriteOptions& options) override;
  absl::StatusOr<WriteResult> Append(std::string_view key, std::string_view suffix,
                                     const WriteOptions& options) override;
  absl::StatusOr<WriteResult> Delete(std::string_view key, const WriteOptions& options) override;
  absl::StatusOr<WriteResult> Increment(std::string_view key, int64_t delta,
                                        const WriteOptions& options) override;
  absl::StatusOr<BatchResult> Batch(const std::vector<Operation>& operations,
                                    const WriteOptions& options,
                                    const std::vector<Operation>& otherwise) override;
  absl::StatusOr<DeleteRangeResult> DeleteRange(std::string_view start,
                                                std::string_view end) override;
  std::unique_ptr<Scanner> Scan(const ScanOptions& options) override;

  void AsyncGet(std::string_view key, const ReadOptions& options, GetCallback done) override;
  void AsyncMultiGet(const std::vector<std::string>& keys, const ReadOptions& options,
                     MultiGetCallback done) override;
  void AsyncPut(std::string_view key, std::string_view value, const WriteOptions& options,
                WriteCallback done) override;
  void AsyncAppend(std::string_view key, std::string_view suffix, const WriteOptions& options,
                   WriteCallback done) override;
  void AsyncDelete(std::string_view key, const WriteOptions& options, WriteCallback done) override;
  void AsyncIncrement(std::string_view key, int64_t delta, const WriteOptions& options,
                      WriteCallback done) override;
  void AsyncBatch(const std::vector<Operation>& operations, const WriteOptions& options,
                  const std::vector<Operation>& otherwise, BatchCallback done) override;

  // For the scanner, on its caller's thread: a store to ask, and its channel.
  std::string PickAddress(bool another);
  std::shared_ptr<grpc::Channel> ChannelTo(const std::string& address);
  const ClientOptions& options() const { return options_; }

 private:
  void OnLoop(std::function<void()> f);
  void Submit(RequestItem item, std::optional<std::chrono::milliseconds> deadline,
              Session::Callback done);
  absl::StatusOr<ResponseItem> Call(RequestItem item,
                                    std::optional<std::chrono::milliseconds> deadline);

  const ClientOptions options_;
  CqLoop loop_;
  GrpcNetwork network_;
  std::unique_ptr<Session> session_;  // owned by the loop
  std::thread thread_;
};

}  // namespace kvd::client
