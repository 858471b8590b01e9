#include "server/shard/disk_watch.h"

namespace kvd::shard {

namespace {
constexpr Duration kInterval = milliseconds(100);
}  // namespace

DiskWatch::DiskWatch(Loop* loop, raft::Host* host, storage::Disk* disk,
                     const storage::DiskMarks& marks, std::function<void(bool)> reclaim)
    : loop_(loop), host_(host), disk_(disk), reclaim_(std::move(reclaim)), guard_(marks) {
  host_->on_taken_in = [this](uint64_t bytes) {
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
  timer_ = loop_->After(UntilNext(loop_->Now(), kInterval), [this] { Look(); });
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
