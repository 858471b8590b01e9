// What moves of shards mean to who uses their keys: keys of shards that move and of shards that
// stay, each put and read in turn without a rest, by one caller a key. The time between two
// operations of a key that succeed is its pause. All of it is on the target's thread.
#pragma once

#include <chrono>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "tests/bench/histogram.h"
#include "tests/bench/target.h"

namespace kvd::bench {

struct MoveOptions {
  std::vector<std::string> addresses;
  std::vector<int> pids;  // the servers' processes
  uint64_t keys = 0;      // as kvbench loads them
  uint32_t value_bytes = 1024;
  uint64_t shards = 16;  // that the keys are cut into evenly
  uint64_t moving = 4;   // the first of them
  uint64_t moves = 100;
  uint64_t watched = 32;  // keys of shards that move, and as many of others
  uint64_t rest_ms = 200;
};

class Watchers {
 public:
  // The target outlives it.
  Watchers(Target* target, const MoveOptions& options);

  void Start();
  // A move of the `shard`-th shard begins, and ends. One at a time.
  void BeginMove(uint64_t shard);
  void EndMove() { move_ = kNone; }
  // Ends the load; `stopped` is told when nothing is under way any more.
  void Stop(std::function<void()> stopped) { stopped_ = std::move(stopped); }

  // Latencies of operations, apart for keys that move and others, during moves and between them;
  // of each move the longest pause of any key of its shard, and of any other.
  nlohmann::json Report() const;

 private:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr int kNone = -1;

  struct Watched {
    std::string key;
    uint64_t shard = 0;
    bool put = false;  // what came last
    Time succeeded;    // last
    int move = kNone;  // that was under way then
  };
  // The longest pauses, in nanoseconds, that overlap with the move.
  struct Move {
    uint64_t shard = 0;
    uint64_t pause = 0;
    uint64_t pause_elsewhere = 0;
  };

  void Issue(Watched* w);
  void Ended(Watched* w, Time began, bool ok);
  void Count(Watched* w, Time began, Time now);

  Target* const target_;
  const MoveOptions options_;
  std::vector<Watched> watched_;
  std::vector<Move> moves_;
  int move_ = kNone;  // under way, of moves_
  uint64_t open_ = 0;
  uint64_t errors_ = 0;
  // [keys of shards that move][during a move]
  Histogram latency_[2][2];
  std::function<void()> stopped_;
};

}  // namespace kvd::bench
