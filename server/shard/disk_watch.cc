#include "server/shard/disk_watch.h"

namespace kvd::shard {

namespace {
constexpr Duration kInterval = milliseconds(100);
}  // namespace

DiskWatch::DiskWatch(Loop* loop, raft::Host* host, storage::Disk* disk,
                     const storage::DiskMarks& marks, std::function<void()> reclaim)
    : loop_(loop), host_(host), disk_(disk), reclaim_(std::move(reclaim)), guard_(marks) {
  // What it finds at first is no change that anyone has to be told of.
  Look();
}

void DiskWatch::Look() {
  using Action = storage::DiskGuard::Action;
  timer_ = loop_->After(kInterval, [this] { Look(); });
  DiskState before = guard_.state();
  Action action = guard_.Sample(disk_->FreeBytes(), disk_->ReserveBytes());
  if (action != Action::kNone) {
    if (action == Action::kReleaseReserve) {
      disk_->ReleaseReserve();
    } else {
      disk_->CreateReserve(guard_.marks().reserve_bytes);
    }
    guard_.Sample(disk_->FreeBytes(), disk_->ReserveBytes());
  }
  host_->SetDisk(guard_.state());
  if (guard_.state() != before && on_change) on_change(guard_);
  if (guard_.state() != DiskState::kOk) reclaim_();
}

}  // namespace kvd::shard
