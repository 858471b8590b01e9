// What an operator does about a store that can't go on: starts it again, or lets a new one take its
// place.
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "tests/cluster/fault_cluster.h"
#include "tests/cluster/process.h"

namespace kvd {
namespace {

constexpr int kReplaceSeconds = 40;

// Whether `store` votes and `replaced` is no member.
bool HasTakenPlace(const v1::GroupStatus& group, uint64_t store, uint64_t replaced) {
  bool votes = false;
  bool gone = true;
  for (const auto& replica : group.replicas()) {
    votes |= replica.store_id() == store && replica.voter();
    gone &= replica.store_id() != replaced;
  }
  return votes && gone && !group.joint();
}

}  // namespace

absl::Status FaultCluster::Recover() {
  Poll();
  // What the fault ended may not be gone yet.
  for (int n = 1; n <= size(); ++n) {
    if (Running(n) && (IsEnding(Pid(n)) || !LastWords(n).empty())) AwaitEnd(n, 30);
  }
  for (int n = 1; n <= size(); ++n) {
    absl::Status started = Start(n);
    if (!started.ok() && MayEndWithOneLine(n) && LastWords(n).size() == 1) {
      Note(absl::StrCat(std::string(started.message()), "; a new store takes its place"));
      started = Replace(n);
    }
    if (!started.ok()) return started;
    At(n).may_end = Ending::kNone;
  }
  return absl::OkStatus();
}

void FaultCluster::LoseDisk(int n, bool log_alone) {
  // Only what is inside: the directory may be a mount.
  for (const auto& entry : std::filesystem::directory_iterator(DataDir(n))) {
    if (!log_alone || entry.path().filename() == "raft") std::filesystem::remove_all(entry.path());
  }
  if (!log_alone) At(n).damaged = false;
}

absl::Status FaultCluster::AwaitOwnPlace(int n, uint64_t replaced_id) {
  bool done = Await(
      [&] {
        Poll();
        client::ClusterClient cluster(Addresses(), std::chrono::seconds(5));
        // The controller's too: else the next disk could not be lost.
        for (uint64_t id : {1, 2}) {
          auto group = cluster.Group(id);
          if (!group.ok() || !HasTakenPlace(*group, At(n).id, replaced_id)) return false;
        }
        return true;
      },
      kReplaceSeconds);
  if (done) return absl::OkStatus();
  return absl::DeadlineExceededError(absl::StrCat(
      "store ", At(n).id, " did not take the place of store ", replaced_id, " by itself"));
}

absl::Status FaultCluster::Replace(int n) {
  uint64_t old = At(n).id;
  LoseDisk(n, /*log_alone=*/false);
  absl::Status started = Start(n);
  return started.ok() ? TakePlace(n, old) : started;
}

absl::Status FaultCluster::TakePlace(int n, uint64_t replaced_id) {
  v1::ChangeMembershipRequest request;
  request.set_change(v1::ChangeMembershipRequest::REPLACE);
  request.set_store_id(At(n).id);
  request.set_replaced_store_id(replaced_id);
  absl::Status last;
  bool done = Await(
      [&] {
        Poll();
        client::ClusterClient cluster(Addresses(), std::chrono::seconds(5));
        auto group = cluster.Group(2);
        last = group.status();
        if (!group.ok()) return false;
        if (HasTakenPlace(*group, At(n).id, replaced_id)) return true;
        last = cluster.Change(request).status();
        return false;
      },
      kReplaceSeconds);
  if (done) return absl::OkStatus();
  return absl::DeadlineExceededError(absl::StrCat("store ", At(n).id,
                                                  " did not take the place of store ", replaced_id,
                                                  ": ", std::string(last.message())));
}

}  // namespace kvd
