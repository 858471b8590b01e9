#include "tests/sim/fault_points.h"

namespace kvd::sim {

namespace {

// Passed in few seeds, or seldom: the one point that a seed chooses would hardly ever be there.
bool IsRare(FaultPoint point) {
  switch (point) {
    case FaultPoint::kProposeRefused:
    case FaultPoint::kReadsFailed:
    case FaultPoint::kMembershipProposed:
    case FaultPoint::kMembershipDone:
    case FaultPoint::kTransferBegins:
    case FaultPoint::kBeforeTruncate:
    case FaultPoint::kAfterTruncate:
    case FaultPoint::kRepairing:
    case FaultPoint::kSnapshotBegins:
    case FaultPoint::kSnapshotSent:
    case FaultPoint::kChunkArrives:
    case FaultPoint::kChunkStaged:
    case FaultPoint::kBeforeInstall:
    case FaultPoint::kStateInstalled:
    case FaultPoint::kLogReset:
    case FaultPoint::kInstalled:
    case FaultPoint::kOutcomeLeft:
    case FaultPoint::kStateDamaged:
    case FaultPoint::kGoingOut:
    case FaultPoint::kLeaderReady:
    case FaultPoint::kLostLeadership:
    case FaultPoint::kMadeWay:
    case FaultPoint::kLearnerAdded:
    case FaultPoint::kPromoting: return true;
    default: return false;
  }
}

// Each is hit in some seeds only, and once, so that what takes several such steps comes to its end
// in the others.
constexpr double kRareSeeds = 0.33;
constexpr double kRareChance = 0.5;

}  // namespace

FaultPoints::FaultPoints(Random random) : random_(random) {
  anywhere_ = random_.Chance(0.3) ? 1.0 / 3000 : 0;
  for (size_t i = 0; i < kFaultPointCount; ++i) {
    if (!IsRare(static_cast<FaultPoint>(i))) continue;
    crash_due_[i] = random_.Chance(kRareSeeds);
    delay_due_[i] = random_.Chance(kRareSeeds);
  }
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
  if ((point == delay_at_ && until_delay_-- == 0) || IsDue(&delay_due_[i]) ||
      random_.Chance(anywhere_)) {
    ++coverage_.delayed[i];
    loop->Delay(milliseconds(random_.Between(1, 1500)));
  }
  if ((point == crash_at_ && until_crash_-- == 0) || IsDue(&crash_due_[i]) ||
      random_.Chance(anywhere_)) {
    ++coverage_.crashed[i];
    throw SimCrash();
  }
}

bool FaultPoints::IsDue(bool* due) {
  if (!*due || !random_.Chance(kRareChance)) return false;
  *due = false;
  return true;
}

}  // namespace kvd::sim
