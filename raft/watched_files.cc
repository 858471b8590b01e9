#include "raft/watched_files.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace kvd::raft {
namespace {

using rocksdb::DataVerificationInfo;
using rocksdb::FileOptions;
using rocksdb::FSWritableFile;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;
using OnFailed = std::function<void(const std::string&)>;

class WatchedFile : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  WatchedFile(std::unique_ptr<FSWritableFile> file, std::string name, const OnFailed* on_failed)
      : FSWritableFileOwnerWrapper(std::move(file)),
        name_(std::move(name)),
        on_failed_(on_failed) {}

  IOStatus Append(const Slice& data, const IOOptions& options, IODebugContext* dbg) override {
    return Told("writing", target()->Append(data, options, dbg));
  }
  IOStatus Append(const Slice& data, const IOOptions& options, const DataVerificationInfo& info,
                  IODebugContext* dbg) override {
    return Told("writing", target()->Append(data, options, info, dbg));
  }
  IOStatus Flush(const IOOptions& options, IODebugContext* dbg) override {
    return Told("writing", target()->Flush(options, dbg));
  }
  IOStatus Sync(const IOOptions& options, IODebugContext* dbg) override {
    return Told("syncing", target()->Sync(options, dbg));
  }
  IOStatus Fsync(const IOOptions& options, IODebugContext* dbg) override {
    return Told("syncing", target()->Fsync(options, dbg));
  }
  IOStatus Close(const IOOptions& options, IODebugContext* dbg) override {
    return Told("closing", target()->Close(options, dbg));
  }

 private:
  IOStatus Told(const char* what, IOStatus status) const {
    if (!status.ok() && !status.IsNoSpace()) {
      (*on_failed_)(absl::StrCat(what, " ", name_, " failed: ", status.ToString()));
    }
    return status;
  }

  const std::string name_;
  const OnFailed* const on_failed_;
};

class WatchedFileSystem : public rocksdb::FileSystemWrapper {
 public:
  WatchedFileSystem(const std::shared_ptr<rocksdb::FileSystem>& base, OnFailed on_failed)
      : FileSystemWrapper(base), on_failed_(std::move(on_failed)) {}
  const char* Name() const override { return "kvd.WatchedFileSystem"; }

  IOStatus NewWritableFile(const std::string& name, const FileOptions& options,
                           std::unique_ptr<FSWritableFile>* file, IODebugContext* dbg) override {
    return Watched(target()->NewWritableFile(name, options, file, dbg), name, file);
  }
  IOStatus ReopenWritableFile(const std::string& name, const FileOptions& options,
                              std::unique_ptr<FSWritableFile>* file, IODebugContext* dbg) override {
    return Watched(target()->ReopenWritableFile(name, options, file, dbg), name, file);
  }
  IOStatus ReuseWritableFile(const std::string& name, const std::string& old_name,
                             const FileOptions& options, std::unique_ptr<FSWritableFile>* file,
                             IODebugContext* dbg) override {
    return Watched(target()->ReuseWritableFile(name, old_name, options, file, dbg), name, file);
  }

 private:
  IOStatus Watched(IOStatus opened, const std::string& name,
                   std::unique_ptr<FSWritableFile>* file) const {
    if (opened.ok()) *file = std::make_unique<WatchedFile>(std::move(*file), name, &on_failed_);
    return opened;
  }

  const OnFailed on_failed_;
};

}  // namespace

std::shared_ptr<rocksdb::FileSystem> WatchWrites(
    const std::shared_ptr<rocksdb::FileSystem>& base,
    std::function<void(const std::string&)> on_failed) {
  return std::make_shared<WatchedFileSystem>(base, std::move(on_failed));
}

}  // namespace kvd::raft
