#include "tests/sim/fault_points.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

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
    // All but what happens once a second or so.
    case FaultPoint::kReportLeaves:
    case FaultPoint::kReportTaken:
    case FaultPoint::kRoutingTaken: return false;
    default: return static_cast<size_t>(point) >= kGroupFaultPointCount;
  }
}

// Each is hit in some seeds only, and once, so that what takes several such steps comes to its end
// in the others.
constexpr double kRareSeeds = 0.33;
constexpr double kRareChance = 0.5;
constexpr int kChosenOfWorlds = 4;

}  // namespace

FaultPointCoverage& FaultPointCoverage::operator+=(const FaultPointCoverage& other) {
  for (size_t i = 0; i < kFaultPointCount; ++i) {
    passed[i] += other.passed[i];
    crashed[i] += other.crashed[i];
    delayed[i] += other.delayed[i];
  }
  return *this;
}

std::string FaultPointCoverage::Missing(size_t points) const {
  std::vector<std::string> missing;
  for (size_t i = 0; i < points; ++i) {
    const char* name = kFaultPointNames[i];
    if (passed[i] == 0) missing.push_back(absl::StrCat("'", name, "' passed"));
    if (crashed[i] == 0) missing.push_back(absl::StrCat("a crash at '", name, "'"));
    if (delayed[i] == 0) missing.push_back(absl::StrCat("a delay at '", name, "'"));
  }
  return absl::StrJoin(missing, ", ");
}

std::string FaultPointCoverage::ToString(size_t points, bool all) const {
  size_t passes = 0, crashes = 0, delays = 0;
  std::string text;
  if (all)
    absl::StrAppendFormat(&text, "%-70s %12s %8s %8s\n", "FAULT POINT", "PASSED", "CRASHES",
                          "DELAYS");
  for (size_t i = 0; i < points; ++i) {
    passes += passed[i] > 0 ? 1 : 0;
    crashes += crashed[i] > 0 ? 1 : 0;
    delays += delayed[i] > 0 ? 1 : 0;
    if (!all) continue;
    absl::StrAppendFormat(&text, "%-70s %12u %8u %8u\n", kFaultPointNames[i], passed[i], crashed[i],
                          delayed[i]);
  }
  absl::StrAppend(&text, "fault points: ", points, ", passed ", passes, ", hit with a crash ",
                  crashes, ", with a delay ", delays, "\n");
  return text;
}

FaultPoints::FaultPoints(Random random, size_t points) : random_(random), points_(points) {
  anywhere_ = random_.Chance(0.3) ? 1.0 / 3000 : 0;
  for (size_t i = 0; i < points_; ++i) {
    if (!IsRare(static_cast<FaultPoint>(i))) continue;
    crash_due_[i] = random_.Chance(kRareSeeds);
    delay_due_[i] = random_.Chance(kRareSeeds);
  }
  auto draw = [this] { return static_cast<FaultPoint>(random_.Below(points_)); };
  auto until = [this] { return random_.Chance(0.5) ? random_.Below(3) : random_.Below(300); };
  for (int n = points_ > kGroupFaultPointCount ? kChosenOfWorlds : 1; n > 0; --n) {
    FaultPoint crash = draw(), delay = draw();
    crashes_.push_back({crash, until()});
    delays_.push_back({delay, until()});
  }
  fault_injector = this;
}

FaultPoints::~FaultPoints() { fault_injector = nullptr; }

void FaultPoints::Pass(FaultPoint point) {
  SimLoop* loop = SimLoop::Running();
  if (loop == nullptr || !loop->may_crash()) return;
  auto i = static_cast<size_t>(point);
  // What is passed once the faults are over is no test of it.
  if (!active_ || i >= points_) return;
  ++coverage_.passed[i];
  if (IsDue(&delays_, point) || IsDue(&delay_due_[i]) || random_.Chance(anywhere_)) {
    ++coverage_.delayed[i];
    loop->Delay(milliseconds(random_.Between(1, 1500)));
  }
  if (IsDue(&crashes_, point) || IsDue(&crash_due_[i]) || random_.Chance(anywhere_)) {
    ++coverage_.crashed[i];
    throw SimCrash();
  }
}

bool FaultPoints::IsDue(std::vector<Chosen>* chosen, FaultPoint point) {
  bool due = false;
  for (Chosen& c : *chosen) due = (c.point == point && c.until-- == 0) || due;
  return due;
}

bool FaultPoints::IsDue(bool* due) {
  if (!*due || !random_.Chance(kRareChance)) return false;
  *due = false;
  return true;
}

}  // namespace kvd::sim
