#include "raft/rocks_log_options.h"

#include <rocksdb/listener.h>
#include <rocksdb/sst_file_manager.h>
#include <rocksdb/sst_partitioner.h>
#include <rocksdb/table.h>

#include "absl/strings/str_cat.h"
#include "raft/buffer_size.h"
#include "raft/durable_file.h"
#include "raft/spare_time.h"

namespace kvd::raft {
namespace {

constexpr char kNote[] = "DAMAGED";

// On a full disk flushes would end, and writes wait for ever.
class ErrorListener : public rocksdb::EventListener {
 public:
  ErrorListener(std::string directory, std::function<void(const std::string&)> on_fatal)
      : directory_(std::move(directory)), on_fatal_(std::move(on_fatal)) {}
  void OnBackgroundError(rocksdb::BackgroundErrorReason, rocksdb::Status* status) override {
    if (!status->IsNoSpace() && !status->IsCorruption()) return;
    std::string what = status->ToString();
    if (status->IsCorruption()) {
      absl::Status noted = ReplaceFile(directory_, kNote, what);
      if (!noted.ok())
        absl::StrAppend(&what, "; it can't be noted: ", std::string(noted.message()));
    }
    on_fatal_(absl::StrCat("writing the Raft log failed: ", what));
  }

 private:
  const std::string directory_;
  const std::function<void(const std::string&)> on_fatal_;
};

}  // namespace

rocksdb::Options LogOptions(const std::string& directory, rocksdb::Env* env,
                            const std::function<void(const std::string&)>& on_fatal,
                            const LogRoom& room) {
  rocksdb::Options options;
  options.create_if_missing = true;
  options.env = env;
  // A torn tail is what a crash leaves: it is cut before. Whatever else is damaged is not skipped.
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kAbsoluteConsistency;
  options.recycle_log_file_num = 0;
  options.track_and_verify_wals_in_manifest = true;
  options.max_bgerror_resume_count = 0;
  options.paranoid_checks = true;
  options.compression = rocksdb::kNoCompression;
  // Most of the log is forgotten before it is flushed, and recent entries are in the host's memory.
  options.write_buffer_size = StaggeredBufferBytes(kLogBufferBytes);
  options.max_write_buffer_number = 3;
  // Small files, so that many hold nothing but what was cut off.
  options.target_file_size_base = kLogBufferBytes;
  // And none that hold one group's entries beside another's, which are not cut off.
  constexpr size_t kGroupAndKind = 5;
  options.sst_partitioner_factory = rocksdb::NewSstPartitionerFixedPrefixFactory(kGroupAndKind);
  options.max_total_wal_size = 256 << 20;
  options.bytes_per_sync = 512 << 10;  // a flush must not hold up the syncs of the log for long
  options.max_background_jobs = 2;
  options.avoid_unnecessary_blocking_io = true;  // a loop's reads remove no files
  // Compactions that have no room must not slow down the deletes that make some.
  options.level0_slowdown_writes_trigger = 200;
  options.level0_stop_writes_trigger = 400;
  options.keep_log_file_num = 4;
  options.sst_file_manager = room.file_manager;
  options.listeners = {std::make_shared<ErrorListener>(directory, on_fatal)};
  if (room.listener != nullptr) options.listeners.push_back(room.listener);
  if (auto spare_time = NewSpareTimeListener()) options.listeners.push_back(std::move(spare_time));
  options.max_log_file_size = 1 << 20;
  options.max_open_files = 256;
  rocksdb::BlockBasedTableOptions table;
  table.no_block_cache = true;
  table.format_version = 5;
  table.checksum = rocksdb::kxxHash64;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

std::optional<std::string> NotedDamage(const std::string& directory) {
  return ReadNote(absl::StrCat(directory, "/", kNote));
}

}  // namespace kvd::raft
