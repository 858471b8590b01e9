// Looks at what to begin again and again, and at nothing whose answer can't have changed. What it
// remembers is what it has looked at, so that its plans are those of the scheduler. Deterministic.
#pragma once

#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

#include "shardctrler/scheduler.h"

namespace kvd::shardctrler {

class Planner {
 public:
  // Operations to begin now. `view.merges_from` is filled in. Valid until the next call.
  const std::vector<Operation>& Next(const State& state, View view);
  // What Next gave last.
  const std::vector<Operation>& last() const { return plan_; }
  // Where pairs are looked for that can be merged, next time.
  const std::string& merges_from() const { return merges_from_; }
  // Looks that were spared, of replicas and of shards, since Clear.
  uint64_t spared() const { return spared_; }
  // Nothing that is known holds any more.
  void Clear() { *this = Planner(); }

 private:
  bool ReplicasRest(const State& state, const View& view);
  bool ShardsRest(const State& state, const View& view);

  std::vector<Operation> plan_;
  std::string merges_from_;
  // What the scheduler saw when it wanted nothing of replicas.
  std::pair<uint64_t, std::vector<uint8_t>> replicas_seen_;
  bool replicas_rest_ = false;
  // The same of shards; and how many looks more it takes until all pairs were looked at.
  std::tuple<uint64_t, uint64_t, uint64_t> shards_seen_;
  size_t looks_left_ = 0;
  uint64_t spared_ = 0;
};

}  // namespace kvd::shardctrler
