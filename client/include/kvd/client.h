// The kvd client: a strongly consistent key-value store, from C++.
//
//   auto client = kvd::Client::Connect({.addresses = {"127.0.0.1:7480"}});
//   client->Put("key", "value");
//   auto got = client->Get("key");
//
// Writes are executed exactly once, however often they are sent: a call either tells what happened
// or, when its deadline passes first, that the outcome is unknown. Keys are 1 B to 4 KiB of any
// bytes, values up to 8 MiB. Values are checksummed here and checked on every hop and read.
//
// A Client is thread-safe; calls from many threads share connections and messages. Callbacks run on
// the client's own thread and must not block or call the blocking methods.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace kvd {

struct ClientOptions {
  // host:port of at least one store; the others are found.
  std::vector<std::string> addresses = {"127.0.0.1:7480"};
  // For calls that name none.
  std::chrono::milliseconds deadline = std::chrono::seconds(10);
  // Refuse any other cluster; 0: whichever answers.
  uint64_t cluster_id = 0;
};

enum class Consistency {
  kLinearizable,  // sees every write acknowledged before the call
  kSnapshot,      // sees the state at a timestamp
  kBoundedStale,  // any replica may answer that is fresh enough
};

struct ReadOptions {
  Consistency consistency = Consistency::kLinearizable;
  uint64_t timestamp = 0;                           // kSnapshot; 0: now
  std::chrono::milliseconds staleness_max{10'000};  // kBoundedStale
  std::optional<std::chrono::milliseconds> deadline;
};

// A key's value, with the version that conditions compare with.
struct Value {
  std::string bytes;
  uint64_t version = 0;     // timestamp of the write
  uint64_t expires_at = 0;  // timestamp; 0: never
};

// A write is applied only if all its conditions hold.
struct Condition {
  static Condition ValueEquals(std::string key, std::string value);
  static Condition VersionEquals(std::string key, uint64_t version);
  static Condition Absent(std::string key);
  static Condition Present(std::string key);

  enum class Test { kValueEquals, kVersionEquals, kAbsent, kPresent };
  std::string key;
  Test test = Test::kAbsent;
  std::string value;
  uint64_t version = 0;
};

struct WriteOptions {
  std::vector<Condition> conditions;
  std::chrono::milliseconds ttl{0};  // Put only; 0: for ever
  // Batch only. False: its keys may be any groups'. What one group has of it is applied together,
  // groups one by one, in no order; after an error some of it may be. Without conditions.
  bool atomic = true;
  std::optional<std::chrono::milliseconds> deadline;
};

struct WriteResult {
  bool applied = true;            // false: a condition did not hold
  uint64_t version = 0;           // of what was written; 0 if nothing was
  bool existed = false;           // Delete: there was something to delete
  int64_t counter = 0;            // Increment: the new value
  uint64_t length = 0;            // Append: the new length in bytes
  uint32_t failed_condition = 0;  // position of the condition that did not hold
  uint64_t current_version = 0;   // of that condition's key; 0: missing
};

struct Operation {
  static Operation Put(std::string key, std::string value);
  static Operation Append(std::string key, std::string suffix);
  static Operation Delete(std::string key);
  static Operation Increment(std::string key, int64_t delta);

  enum class Type { kPut, kAppend, kDelete, kIncrement };
  Type type = Type::kPut;
  std::string key;
  std::string value;
  int64_t delta = 0;
};

struct BatchResult {
  bool conditions_held = true;  // which branch ran
  uint64_t version = 0;
  std::vector<WriteResult> items;
};

struct DeleteRangeResult {
  uint64_t deleted = 0;
};

struct ScanOptions {
  std::string start;   // inclusive; empty: from the first key
  std::string end;     // exclusive; empty: to the last key
  uint64_t limit = 0;  // rows; 0: all
  bool reverse = false;
  bool keys_only = false;
  bool count_only = false;  // see Scanner::count
  ReadOptions read;
};

// An open scan: for (...; scanner->Next();) use key() and value(). One thread at a time.
class Scanner {
 public:
  virtual ~Scanner() = default;
  // Goes to the next row; false at the end or after an error: see status().
  virtual bool Next() = 0;
  virtual const std::string& key() const = 0;
  virtual const Value& value() const = 0;
  // OK if the scan was whole. Valid once Next has returned false.
  virtual absl::Status status() const = 0;
  // Rows seen so far; with count_only, all of them.
  virtual uint64_t count() const = 0;
  // The timestamp that the scan reads at.
  virtual uint64_t timestamp() const = 0;
};

class Client {
 public:
  // Does not wait for a connection: the first call does. INVALID_ARGUMENT for a malformed address.
  static absl::StatusOr<std::unique_ptr<Client>> Connect(const ClientOptions& options);
  // Calls under way end with an error.
  virtual ~Client() = default;

  // NOT_FOUND is not an error here: a missing key is an empty optional.
  virtual absl::StatusOr<std::optional<Value>> Get(std::string_view key,
                                                   const ReadOptions& options = {}) = 0;
  // All as of one timestamp, whichever groups have the keys.
  virtual absl::StatusOr<std::vector<std::optional<Value>>> MultiGet(
      const std::vector<std::string>& keys, const ReadOptions& options = {}) = 0;
  virtual absl::StatusOr<WriteResult> Put(std::string_view key, std::string_view value,
                                          const WriteOptions& options = {}) = 0;
  virtual absl::StatusOr<WriteResult> Append(std::string_view key, std::string_view suffix,
                                             const WriteOptions& options = {}) = 0;
  virtual absl::StatusOr<WriteResult> Delete(std::string_view key,
                                             const WriteOptions& options = {}) = 0;
  virtual absl::StatusOr<WriteResult> Increment(std::string_view key, int64_t delta,
                                                const WriteOptions& options = {}) = 0;
  // Applies `operations` atomically if all of options.conditions hold, else `otherwise`. All keys
  // have to be one group's, unless options.atomic is false.
  virtual absl::StatusOr<BatchResult> Batch(const std::vector<Operation>& operations,
                                            const WriteOptions& options = {},
                                            const std::vector<Operation>& otherwise = {}) = 0;
  // Deletes [start, end) in bounded steps, each atomic, several groups' at the same time. After an
  // error some may be done. What is written meanwhile may be deleted or not.
  virtual absl::StatusOr<DeleteRangeResult> DeleteRange(std::string_view start,
                                                        std::string_view end) = 0;
  virtual std::unique_ptr<Scanner> Scan(const ScanOptions& options) = 0;

  // The same without waiting.
  using GetCallback = std::function<void(absl::StatusOr<std::optional<Value>>)>;
  using MultiGetCallback = std::function<void(absl::StatusOr<std::vector<std::optional<Value>>>)>;
  using BatchCallback = std::function<void(absl::StatusOr<BatchResult>)>;
  using WriteCallback = std::function<void(absl::StatusOr<WriteResult>)>;
  virtual void AsyncGet(std::string_view key, const ReadOptions& options, GetCallback done) = 0;
  virtual void AsyncMultiGet(const std::vector<std::string>& keys, const ReadOptions& options,
                             MultiGetCallback done) = 0;
  virtual void AsyncPut(std::string_view key, std::string_view value, const WriteOptions& options,
                        WriteCallback done) = 0;
  virtual void AsyncAppend(std::string_view key, std::string_view suffix,
                           const WriteOptions& options, WriteCallback done) = 0;
  virtual void AsyncDelete(std::string_view key, const WriteOptions& options,
                           WriteCallback done) = 0;
  virtual void AsyncIncrement(std::string_view key, int64_t delta, const WriteOptions& options,
                              WriteCallback done) = 0;
  virtual void AsyncBatch(const std::vector<Operation>& operations, const WriteOptions& options,
                          const std::vector<Operation>& otherwise, BatchCallback done) = 0;
};

// Whether a failed write may have been applied all the same (or may be yet).
bool IsOutcomeUnknown(const absl::Status& status);

}  // namespace kvd
