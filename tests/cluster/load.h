// Clients that load a real cluster with every kind of operation and record what they did, for the
// linearizability check. Each value written is unique.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "kvd/client.h"
#include "tests/check/linearizability.h"

namespace kvd {

struct LoadOptions {
  std::vector<std::string> addresses;
  // Each with a thread and a connection of its own.
  int clients = 4;
  // In use at a time. The kind of a key follows from its number: of four, two hold text, one is a
  // counter and one a pair, whose halves are only ever written together.
  int keys = 8;
  // After this many operations a key is replaced by a fresh one, so that its history can be
  // checked.
  size_t operations_per_key = 400;
  // Between two operations of a client, at most.
  std::chrono::milliseconds pause_max{0};
  std::chrono::milliseconds deadline = std::chrono::seconds(8);
  // Bytes that fill up some values.
  size_t filler_bytes_max = 0;
  uint64_t seed = 1;
  // Also batches of keys that have nothing in common, which must be in one group.
  bool mixed_batches = true;
};

// Operations by key, as they were called and returned. Thread-safe.
class History {
 public:
  void Add(const std::string& key, check::Operation operation);
  // Something that no history of one key shows, such as half a batch.
  void AddProblem(std::string problem);
  size_t Operations(const std::string& key) const;
  std::vector<std::string> Keys() const;
  // What is wrong; empty if nothing. Undecided is wrong.
  std::vector<std::string> Problems() const;
  uint64_t operations() const { return operations_; }
  // The longest time between two acknowledged writes, in milliseconds.
  int64_t longest_gap_ms() const;
  // A write counts as acknowledged now: where the measured time begins and ends.
  void MarkWrite(int64_t at_ns);

 private:
  std::atomic<uint64_t> operations_{0};
  mutable std::mutex mutex_;
  std::map<std::string, std::vector<check::Operation>> by_key_;  // guarded by mutex_
  std::vector<std::string> problems_;                            // guarded by mutex_
  int64_t last_write_ns_ = 0;                                    // guarded by mutex_
  int64_t longest_gap_ns_ = 0;                                   // guarded by mutex_
};

// Nanoseconds on the clock of histories.
int64_t HistoryNow();

class RecordedLoad {
 public:
  explicit RecordedLoad(const LoadOptions& options);
  RecordedLoad(std::vector<std::string> addresses, int clients, int keys)
      : RecordedLoad(
            LoadOptions{.addresses = std::move(addresses), .clients = clients, .keys = keys}) {}
  ~RecordedLoad() { Stop(); }

  // Waits for the operations under way.
  void Stop();
  uint64_t acknowledged() const { return acknowledged_; }
  // Acknowledged ones alone.
  uint64_t writes() const { return writes_; }
  uint64_t unknown() const { return unknown_; }
  int64_t longest_gap_ms() const { return history_.longest_gap_ms(); }
  uint64_t operations() const { return history_.operations(); }
  std::vector<std::string> Keys() const { return history_.Keys(); }

  // Reads every key once more, so that a lost write at a history's end is seen too. After Stop.
  absl::Status ReadEverything();
  // What the histories have wrong; empty if nothing. After Stop.
  std::vector<std::string> Problems() const { return history_.Problems(); }
  // Fails the test if there are problems; gives the number of operations checked.
  uint64_t Check();
  // How often an operation ended with an error other than an unknown outcome, by its text.
  std::map<std::string, uint64_t> Errors() const;

 private:
  friend class LoadClient;

  // The name of the key with this number now; after `operations_per_key` another one.
  std::string KeyOf(int number);

  const LoadOptions options_;
  std::atomic<bool> stop_{false};
  std::atomic<uint64_t> acknowledged_{0};
  std::atomic<uint64_t> writes_{0};
  std::atomic<uint64_t> unknown_{0};
  History history_;
  mutable std::mutex mutex_;
  std::vector<int> generations_;            // by number; guarded by mutex_
  std::map<std::string, uint64_t> errors_;  // guarded by mutex_
  std::vector<std::thread> threads_;
};

}  // namespace kvd
