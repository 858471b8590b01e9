// A network link through this process: two TAP devices, one in another network namespace, with
// every frame carried from one to the other, late, twice, changed or never. Stands in for netem.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <queue>
#include <string>
#include <thread>
#include <vector>

#include "raft/runtime/random.h"

namespace kvd {

// Of both directions.
struct LinkFaults {
  std::chrono::microseconds delay_min{0};
  std::chrono::microseconds delay_max{0};  // above delay_min frames overtake each other
  double duplicate = 0;                    // share sent twice
  double corrupt = 0;                      // share with one bit flipped
  // Share of those between stores with two bits flipped that cancel out in the checksum of TCP and
  // UDP: nobody sees it below the program.
  double corrupt_unseen = 0;
};

class SlowLink {
 public:
  // Makes device `near` here and `far` in the namespace whose file is named. Whose IPv4 address
  // ends in `no_store` is none.
  SlowLink(const std::string& near, const std::string& far_namespace, const std::string& far,
           int no_store);
  ~SlowLink();
  SlowLink(const SlowLink&) = delete;
  SlowLink& operator=(const SlowLink&) = delete;

  // From the next frame on. Thread-safe.
  void Set(const LinkFaults& faults);
  // Frames carried so far. Thread-safe.
  uint64_t carried() const { return carried_; }

 private:
  struct Frame {
    std::chrono::steady_clock::time_point due;
    uint64_t number;  // among equals the first one first
    int to;
    std::vector<char> bytes;
    bool operator>(const Frame& other) const {
      return due != other.due ? due > other.due : number > other.number;
    }
  };

  void Run();
  void Take(int from, int to);
  void Damage(const LinkFaults& faults, std::vector<char>& frame);
  void SendDue();

  const char no_store_;
  int near_ = -1;
  int far_ = -1;
  int stop_ = -1;  // readable once to stop
  std::atomic<uint64_t> carried_{0};
  std::mutex mutex_;
  LinkFaults faults_;  // guarded by mutex_
  // The thread's.
  Random random_{1};
  uint64_t next_number_ = 0;
  std::priority_queue<Frame, std::vector<Frame>, std::greater<Frame>> waiting_;
  std::thread thread_;
};

}  // namespace kvd
