// How RocksDB treats the files of the Raft log: their blocks are allocated ahead, size included, so
// that a sync writes data and no file metadata. A crash then leaves a log that ends in zeroes, which
// wal_tail.h cuts. On ext4 such a sync takes about two thirds of the time (README.md).
#pragma once

namespace rocksdb {
class Env;
}

namespace kvd::raft {

// Lives as long as the process.
rocksdb::Env* LogEnv();

}  // namespace kvd::raft
