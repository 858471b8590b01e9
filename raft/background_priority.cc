#include "raft/background_priority.h"

#include <rocksdb/listener.h>
#include <sys/resource.h>
#include <unistd.h>

namespace kvd::raft {
namespace {

// Leaves about a tenth of a busy core: with less, files would pile up until writes are slowed.
constexpr int kNice = 10;

class CompactionListener : public rocksdb::EventListener {
 public:
  void OnCompactionBegin(rocksdb::DB*, const rocksdb::CompactionJobInfo&) override {
    thread_local bool lowered = false;
    if (lowered) return;
    lowered = true;
    // On Linux a priority belongs to a thread. Without it the work is only less polite.
    auto thread = static_cast<id_t>(gettid());
    (void)setpriority(PRIO_PROCESS, thread, getpriority(PRIO_PROCESS, thread) + kNice);
  }
};

}  // namespace

std::shared_ptr<rocksdb::EventListener> LowPriorityCompactions() {
  return std::make_shared<CompactionListener>();
}

}  // namespace kvd::raft
