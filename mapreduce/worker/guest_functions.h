// User code in worker processes as functions of a job (function.h). One process each; used by the
// thread that started it, which must outlive it. Errors: see guest_session.h.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "mapreduce/function.h"
#include "mapreduce/worker/guest_session.h"
#include "raft/runtime/mutex.h"

namespace kvd::mapreduce {

class GuestMap : public MapFunction {
 public:
  // The spec's role is set by this.
  static absl::StatusOr<std::unique_ptr<GuestMap>> Start(const GuestHost& host, GuestSpec spec);

  // What a batch's records emit has come out when this returns.
  absl::Status Map(std::span<const Record> batch, Emitter* out) override;
  absl::Status Finish(Emitter* out) override;

 private:
  explicit GuestMap(std::unique_ptr<GuestSession> session) : session_(std::move(session)) {}

  std::unique_ptr<GuestSession> session_;
  std::string request_;
};

// Combines or reduces. A key with few values is held back until it fills a batch with others: what
// it emits comes out of a later Reduce, of Flush or of Finish, in order. A key with many values is
// sent in pieces as they come.
class GuestReduce : public ReduceFunction {
 public:
  // `role`: kCombine or kReduce.
  static absl::StatusOr<std::unique_ptr<GuestReduce>> Start(const GuestHost& host, wire::Role role,
                                                            GuestSpec spec);

  absl::Status Reduce(std::string_view key, Values* values, Emitter* out) override;
  // What was held back. The emitter that Reduce was given must be the same until this was called.
  absl::Status Flush(Emitter* out);
  absl::Status Finish(Emitter* out) override;

 private:
  explicit GuestReduce(std::unique_ptr<GuestSession> session);

  // Sends what is gathered. Whether the last group's next values are wanted.
  absl::StatusOr<bool> Send(Emitter* out);
  absl::Status AddKey(std::string_view key, Emitter* out);
  void Clear();

  std::unique_ptr<GuestSession> session_;
  std::string request_;
  // Where the keys of its groups are in `request_`; of one that goes on, the key itself.
  std::vector<std::pair<size_t, size_t>> keys_;
  std::string open_key_;
};

// Asks for each key: batches are much faster. Thread-safe, calls wait for each other; used by other
// threads than the one that started it, which must outlive it nevertheless.
class GuestPartitioner : public Partitioner {
 public:
  static absl::StatusOr<std::unique_ptr<GuestPartitioner>> Start(const GuestHost& host,
                                                                 GuestSpec spec);

  // After an error it is 0, and status() tells: who uses what it gave must ask.
  uint32_t PartitionOf(std::string_view key, uint32_t partitions) const override;
  // Of each key; `to` has room for as many.
  absl::Status PartitionsOf(std::span<const std::string_view> keys, uint32_t partitions,
                            uint32_t* to) const;
  absl::Status status() const;

 private:
  explicit GuestPartitioner(std::unique_ptr<GuestSession> session) : session_(std::move(session)) {}
  absl::Status Ask(std::span<const std::string_view> keys, uint32_t partitions, uint32_t* to) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable Mutex mutex_;
  const std::unique_ptr<GuestSession> session_ ABSL_PT_GUARDED_BY(mutex_);
  mutable absl::Status status_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace kvd::mapreduce
