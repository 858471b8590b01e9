#include "raft/log_file_system.h"

#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

namespace kvd::raft {
namespace {

class LogFileSystem : public rocksdb::FileSystemWrapper {
 public:
  LogFileSystem() : rocksdb::FileSystemWrapper(rocksdb::FileSystem::Default()) {}
  const char* Name() const override { return "kvd.LogFileSystem"; }

  rocksdb::FileOptions OptimizeForLogWrite(const rocksdb::FileOptions& file_options,
                                           const rocksdb::DBOptions& db_options) const override {
    rocksdb::FileOptions optimized = target()->OptimizeForLogWrite(file_options, db_options);
    optimized.fallocate_with_keep_size = false;
    return optimized;
  }
};

}  // namespace

rocksdb::Env* LogEnv() {
  static rocksdb::Env* const env = rocksdb::NewCompositeEnv(std::make_shared<LogFileSystem>()).release();
  return env;
}

}  // namespace kvd::raft
