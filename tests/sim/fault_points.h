// Crashes and delays at the named fault points of the code under test. Each seed has a point of its
// own for a crash and one for a delay (a few, where several groups run), a small chance of either
// anywhere, and a third of those where few come by.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "proto/fault_point.h"
#include "raft/runtime/random.h"
#include "raft/runtime/time.h"
#include "tests/sim/scheduler.h"

namespace kvd::sim {

// Of many seeds: how often each point was passed and hit.
struct FaultPointCoverage {
  std::array<uint64_t, kFaultPointCount> passed{};
  std::array<uint64_t, kFaultPointCount> crashed{};
  std::array<uint64_t, kFaultPointCount> delayed{};

  FaultPointCoverage& operator+=(const FaultPointCoverage& other);
  // Of the first `points`: what did not happen at all, comma-separated; empty if everything did.
  std::string Missing(size_t points) const;
  // A summary of them; with a line before it for each, if `all`.
  std::string ToString(size_t points, bool all) const;
};

// Sets itself as this thread's injector while it lives.
class FaultPoints : public FaultInjector {
 public:
  // Crashes and delays at the first `points` alone.
  FaultPoints(Random random, size_t points);
  ~FaultPoints() override;

  // Nothing happens, and nothing is counted, unless a simulated process runs.
  void Pass(FaultPoint point) override;
  void set_active(bool active) { active_ = active; }
  const FaultPointCoverage& coverage() const { return coverage_; }

 private:
  struct Chosen {
    FaultPoint point;
    uint64_t until;  // times that the point is passed before
  };
  bool IsDue(bool* due);
  static bool IsDue(std::vector<Chosen>* chosen, FaultPoint point);

  Random random_;
  const size_t points_;
  bool active_ = false;
  double anywhere_;
  // Where few come by: whether it is still to happen in this seed.
  std::array<bool, kFaultPointCount> crash_due_{};
  std::array<bool, kFaultPointCount> delay_due_{};
  std::vector<Chosen> crashes_;
  std::vector<Chosen> delays_;
  FaultPointCoverage coverage_;
};

}  // namespace kvd::sim
