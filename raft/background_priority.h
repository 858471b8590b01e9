// RocksDB's compactions run at a lower priority than what clients wait for.
#pragma once

#include <memory>

namespace rocksdb {
class EventListener;
}

namespace kvd::raft {

// For Options::listeners. The thread that begins a compaction stays at the lower priority: RocksDB's
// pool for compactions does nothing else. Flushes keep theirs, since writes wait for a late one.
std::shared_ptr<rocksdb::EventListener> LowPriorityCompactions();

}  // namespace kvd::raft
