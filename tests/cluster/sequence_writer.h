// A rising sequence of entries, written through the log store and the engine as the daemon uses
// them: the log is synced before an entry is acknowledged, the state is written without a log of
// its own and replayed, and the log is cut behind what a flush has made durable. Everything it
// holds follows from the numbers, so that after a crash a hole shows. One thread.
//
//   entry i      its content follows from i
//   state        key i % 500 holds i, and "applied" the last i
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "raft/rocks_log_store.h"
#include "server/storage/rocks_engine.h"

namespace kvd {

class SequenceWriter {
 public:
  // Opens what is there, checks that it is whole and replays it. DATA_LOSS names what is missing.
  static absl::StatusOr<std::unique_ptr<SequenceWriter>> Open(const std::string& directory);
  ~SequenceWriter();

  // The last entry in the log.
  uint64_t last() const { return last_; }
  // Appends for ever, telling of each entry that is durable, on any thread, in order.
  [[noreturn]] void Write(uint64_t seed, std::function<void(uint64_t)> acknowledged);

 private:
  SequenceWriter() = default;

  absl::Status CheckLog(const std::vector<raft::GroupLog>& logs);
  absl::Status CheckState();
  absl::Status Replay();
  void Create();
  void Submit(uint64_t entries);
  void Apply(uint64_t upto);
  void FlushAndCut();

  std::unique_ptr<raft::RocksLogStore> log_;
  std::unique_ptr<storage::RocksEngine> engine_;
  uint64_t start_ = 0;    // the log begins behind it
  uint64_t last_ = 0;     // of the log, as submitted
  uint64_t applied_ = 0;  // to the state
  std::function<void(uint64_t)> acknowledged_;

  std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t durable_ = 0;  // guarded by mutex_
};

}  // namespace kvd
