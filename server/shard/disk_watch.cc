#include "server/shard/disk_watch.h"

namespace kvd::shard {

namespace {
constexpr Duration kInterval = milliseconds(100);
// While nothing is taken in, and there is room: then only others use it up.
constexpr Duration kIdleInterval = milliseconds(200);
}  // namespace

DiskWatch::DiskWatch(Loop* loop, raft::Host* host, storage::Disk* disk,
                     const storage::DiskMarks& marks, std::function<void(bool)> reclaim)
    : loop_(loop), host_(host), disk_(disk), reclaim_(std::move(reclaim)), guard_(marks) {
  host_->on_taken_in = [this](uint64_t bytes) {
    taken_in_ = true;
    if (guard_.NoteTakenIn(bytes)) Look();
  };
  Look();
}

DiskWatch::~DiskWatch() { host_->on_taken_in = nullptr; }

storage::DiskReading DiskWatch::Read() const {
  storage::CompactionLoad compactions = disk_->Compactions();
  return {disk_->FreeBytes(), disk_->ReserveBytes(),
          storage::kDiskBytesPerByte * host_->UnappliedBytes(), compactions};
}

void DiskWatch::Look() {
  using Action = storage::DiskGuard::Action;
  bool idle = !taken_in_ && guard_.state() == DiskState::kOk;
  taken_in_ = false;
  Duration interval = idle ? kIdleInterval : kInterval;
  timer_ = loop_->After(UntilNext(loop_->Now(), interval), [this] { Look(); });
  Action action = guard_.Sample(Read());
  if (action != Action::kNone) {
    if (action == Action::kReleaseReserve) {
      disk_->ReleaseReserve();
    } else {
      disk_->CreateReserve(guard_.marks().reserve_bytes);
    }
    guard_.Sample(Read());
  }
  disk_->LimitCompactions(guard_.compaction_bytes());
  host_->SetDisk(guard_.state());
  reclaim_(guard_.state() != DiskState::kOk);
}

}  // namespace kvd::shard
