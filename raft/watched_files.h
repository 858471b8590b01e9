// A failed write or sync of a database's files, told at once: RocksDB itself would write on, and
// with its assertions on would end by one of them, without a word of which file it was.
#pragma once

#include <rocksdb/file_system.h>

#include <functional>
#include <memory>
#include <string>

namespace kvd::raft {

// `base`, and `on_failed`, on any thread, with the file and the reason. A full disk is not told:
// what it means depends on who met it, which RocksDB tells.
std::shared_ptr<rocksdb::FileSystem> WatchWrites(const std::shared_ptr<rocksdb::FileSystem>& base,
                                                 std::function<void(const std::string&)> on_failed);

}  // namespace kvd::raft
