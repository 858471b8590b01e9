// How the database of the Raft logs is set up, and what becomes of errors that its own threads
// meet.
#pragma once

#include <rocksdb/options.h>

#include <functional>
#include <optional>
#include <string>

#include "raft/rocks_log_store.h"

namespace kvd::raft {

// For the database in `directory`. `on_fatal`, which must not return, is told, on any thread, when
// a flush or compaction met a full disk or damage; of damage a note is left first.
rocksdb::Options LogOptions(const std::string& directory, rocksdb::Env* env,
                            const std::function<void(const std::string&)>& on_fatal,
                            const LogRoom& room);

// What the note says. A compaction also reads what no reader sees, entries that were cut off:
// without a note each start would take the database as whole, and end at the next compaction.
std::optional<std::string> NotedDamage(const std::string& directory);

}  // namespace kvd::raft
