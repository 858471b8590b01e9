#include "raft/log_file_system.h"

#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

#include "raft/watched_files.h"

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

std::unique_ptr<rocksdb::Env> NewLogEnv(std::function<void(const std::string&)> on_failed) {
  return rocksdb::NewCompositeEnv(
      WatchWrites(std::make_shared<LogFileSystem>(), std::move(on_failed)));
}

}  // namespace kvd::raft
