// Flushes and compactions in the processor time that is left. Each keeps a core busy for a tenth of
// a second and more, and whoever is woken on that core meanwhile waits behind it, while another
// core may be idle: the kernel counts a core that runs nothing but Linux's SCHED_IDLE as one that
// is free.
//
// What lags is hurried: a flush when the next buffer is full before it is done, a compaction when
// kBuffersMax buffers have filled up since the last one was. So what waits is bounded on a machine
// that has no time left, as without. Where the system does not let a thread come back from
// SCHED_IDLE (it takes root, CAP_SYS_NICE or an RLIMIT_NICE of 20), nothing is done at all.
//
// Thread-safe. RocksDB's threads belong to the process, and so does what is known of them.
#pragma once

#include <memory>

namespace rocksdb {
class EventListener;
}  // namespace rocksdb

namespace kvd::raft {

inline constexpr int kBuffersMax = 8;  // twice of what a compaction begins with

// For the options of one database. Nothing if a thread could not come back.
std::shared_ptr<rocksdb::EventListener> NewSpareTimeListener();

// While one lives, nothing has to wait for spare time: somebody waits for a flush, or for the end.
class Hurry {
 public:
  Hurry();
  ~Hurry();
  Hurry(const Hurry&) = delete;
  Hurry& operator=(const Hurry&) = delete;
};

}  // namespace kvd::raft
