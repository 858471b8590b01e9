#include "tests/bench/watchers.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tests/bench/report.h"

namespace kvd::bench {
namespace {

using Clock = std::chrono::steady_clock;

uint64_t Nanos(Clock::duration d) {
  return static_cast<uint64_t>(std::chrono::nanoseconds(d).count());
}

}  // namespace

Watchers::Watchers(Target* target, const MoveOptions& options)
    : target_(target), options_(options) {
  uint64_t size = options.keys / options.shards;
  for (bool moving : {true, false}) {
    uint64_t first = moving ? 0 : options.moving;
    uint64_t shards = moving ? options.moving : options.shards - options.moving;
    for (uint64_t i = 0; i < options.watched; ++i) {
      Watched& w = watched_.emplace_back();
      w.shard = first + i % shards;
      uint64_t begin = w.shard * options.keys / options.shards;
      w.key = Workload::KeyOf(begin + size * i / options.watched);
    }
  }
}

void Watchers::Start() {
  for (Watched& w : watched_) {
    w.succeeded = Clock::now();
    Issue(&w);
  }
}

void Watchers::BeginMove(uint64_t shard) {
  moves_.push_back({.shard = shard});
  move_ = static_cast<int>(moves_.size()) - 1;
}

void Watchers::Issue(Watched* w) {
  ++open_;
  w->put = !w->put;
  Operation op;
  op.kind = w->put ? Kind::kPut : Kind::kGet;
  op.key = w->key;
  if (w->put) op.value.assign(options_.value_bytes, 'w');
  target_->Issue(op, [this, w, began = Clock::now()](bool ok, uint64_t) { Ended(w, began, ok); });
}

void Watchers::Ended(Watched* w, Time began, bool ok) {
  --open_;
  if (ok) {
    Count(w, began, Clock::now());
  } else {
    ++errors_;
  }
  if (!stopped_) return Issue(w);
  if (open_ == 0) stopped_();
}

void Watchers::Count(Watched* w, Time began, Time now) {
  // Either may have begun or ended meanwhile.
  int move = w->move != kNone ? w->move : move_;
  bool moves = w->shard < options_.moving;
  latency_[moves ? 1 : 0][move == kNone ? 0 : 1].Add(Nanos(now - began));
  if (move != kNone) {
    Move& m = moves_[static_cast<size_t>(move)];
    uint64_t* longest = m.shard == w->shard ? &m.pause : &m.pause_elsewhere;
    *longest = std::max(*longest, Nanos(now - w->succeeded));
  }
  w->succeeded = now;
  w->move = move_;
}

nlohmann::json Watchers::Report() const {
  Histogram pauses, elsewhere;
  for (const Move& move : moves_) {
    pauses.Add(move.pause);
    elsewhere.Add(move.pause_elsewhere);
  }
  return {{"pause_of_a_moved_key", LatencyJson(pauses)},
          {"pause_of_any_other_key", LatencyJson(elsewhere)},
          {"moved_during", LatencyJson(latency_[1][1])},
          {"moved_between", LatencyJson(latency_[1][0])},
          {"others_during", LatencyJson(latency_[0][1])},
          {"others_between", LatencyJson(latency_[0][0])},
          {"errors", errors_}};
}

}  // namespace kvd::bench
