// How RocksDB treats the files of the Raft log: their blocks are allocated ahead, size included, so
// that a sync writes data and no file metadata. A crash then leaves a log that ends in zeroes,
// which wal_tail.h cuts. On ext4 such a sync takes about two thirds of the time (README.md). Failed
// writes are told.
#pragma once

#include <rocksdb/env.h>

#include <functional>
#include <memory>
#include <string>

namespace kvd::raft {

// Outlives the databases opened with it. `on_failed`: see watched_files.h.
std::unique_ptr<rocksdb::Env> NewLogEnv(std::function<void(const std::string&)> on_failed);

}  // namespace kvd::raft
