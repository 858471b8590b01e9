// Crashes and delays at the named fault points of the code under test. Each seed has a point of its
// own for a crash and one for a delay, a small chance of either anywhere, and a third of those
// where few come by.
#pragma once

#include <array>

#include "proto/fault_point.h"
#include "raft/runtime/random.h"
#include "raft/runtime/time.h"
#include "tests/sim/scheduler.h"

namespace kvd::sim {

struct FaultPointCoverage {
  std::array<uint64_t, kFaultPointCount> passed{};
  std::array<uint64_t, kFaultPointCount> crashed{};
  std::array<uint64_t, kFaultPointCount> delayed{};
};

// Sets itself as this thread's injector while it lives.
class FaultPoints : public FaultInjector {
 public:
  explicit FaultPoints(Random random);
  ~FaultPoints() override;

  // Nothing happens, and nothing is counted, unless a simulated process runs.
  void Pass(FaultPoint point) override;
  void set_active(bool active) { active_ = active; }
  const FaultPointCoverage& coverage() const { return coverage_; }

 private:
  bool IsDue(bool* due);

  Random random_;
  bool active_ = false;
  double anywhere_;
  // Where few come by: whether it is still to happen in this seed.
  std::array<bool, kFaultPointCount> crash_due_{};
  std::array<bool, kFaultPointCount> delay_due_{};
  FaultPoint crash_at_;
  FaultPoint delay_at_;
  uint64_t until_crash_;  // times that the point is passed before
  uint64_t until_delay_;
  FaultPointCoverage coverage_;
};

}  // namespace kvd::sim
