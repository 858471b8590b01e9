// Clients that load a real cluster and record what they did, for the linearizability check.
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

class RecordedLoad {
 public:
  // `clients` threads, each with a connection of its own, over `keys` keys.
  RecordedLoad(std::vector<std::string> addresses, int clients, int keys);
  ~RecordedLoad() { Stop(); }

  void Stop();
  uint64_t acknowledged() const { return acknowledged_; }
  uint64_t unknown() const { return unknown_; }
  // Aborts the test if a history is not linearizable; gives the number of operations checked.
  uint64_t Check();
  // The longest time between two acknowledged writes, in milliseconds.
  int64_t longest_gap_ms() const { return longest_gap_ms_; }

 private:
  void Run(int number, std::vector<std::string> addresses, int keys);
  void Record(const std::string& key, check::Operation operation, bool write);

  std::atomic<bool> stop_{false};
  std::atomic<uint64_t> acknowledged_{0};
  std::atomic<uint64_t> unknown_{0};
  std::mutex mutex_;
  std::map<std::string, std::vector<check::Operation>> history_;
  int64_t last_write_ms_ = 0;
  int64_t longest_gap_ms_ = 0;
  std::vector<std::thread> threads_;
};

}  // namespace kvd
