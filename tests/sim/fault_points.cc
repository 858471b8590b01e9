#include "tests/sim/fault_points.h"

namespace kvd::sim {

FaultPoints::FaultPoints(Random random) : random_(random) {
  anywhere_ = random_.Chance(0.3) ? 1.0 / 3000 : 0;
  crash_at_ = static_cast<FaultPoint>(random_.Below(kFaultPointCount));
  delay_at_ = static_cast<FaultPoint>(random_.Below(kFaultPointCount));
  auto draw = [this] { return random_.Chance(0.5) ? random_.Below(3) : random_.Below(300); };
  until_crash_ = draw();
  until_delay_ = draw();
  fault_injector = this;
}

FaultPoints::~FaultPoints() { fault_injector = nullptr; }

void FaultPoints::Pass(FaultPoint point) {
  SimLoop* loop = SimLoop::Running();
  if (loop == nullptr || !loop->may_crash()) return;
  auto i = static_cast<size_t>(point);
  ++coverage_.passed[i];
  if (!active_) return;
  if ((point == delay_at_ && until_delay_-- == 0) || random_.Chance(anywhere_)) {
    ++coverage_.delayed[i];
    loop->Delay(milliseconds(random_.Between(1, 1500)));
  }
  if ((point == crash_at_ && until_crash_-- == 0) || random_.Chance(anywhere_)) {
    ++coverage_.crashed[i];
    throw SimCrash();
  }
}

}  // namespace kvd::sim
