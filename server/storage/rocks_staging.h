// Staged pairs in sorted files of a bounded size, each with a tombstone for its own part of the
// range: together they hide all that was there, also where no pair is.
#pragma once

#include <rocksdb/options.h>
#include <rocksdb/sst_file_writer.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "server/storage/engine.h"

namespace kvd::storage {

class RocksStaging : public Staging {
 public:
  // Files are named `path` and a number, and end once they have about `file_bytes`.
  RocksStaging(const rocksdb::Options& options, size_t file_bytes, std::string path,
               std::string_view begin, std::string_view end);
  // Removes the files.
  ~RocksStaging() override;

  absl::Status Put(std::string_view key, std::string_view value) override;
  // Ends the last file. Nothing is put from now on.
  absl::Status Finish();
  std::string_view begin() const { return begin_; }
  std::string_view end() const { return end_; }
  // Requires: Finish() was OK.
  const std::vector<std::string>& paths() const { return paths_; }

 private:
  absl::Status Open();
  absl::Status Close(std::string_view part_end);
  absl::Status Cut();

  const rocksdb::Options options_;
  const size_t file_bytes_;
  const std::string path_;
  const std::string begin_;
  const std::string end_;
  std::vector<std::string> paths_;
  // Null between two files.
  std::unique_ptr<rocksdb::SstFileWriter> writer_;
  // Where the part of the file that is open, or the next one, begins.
  std::string part_begin_;
  // Empty before the first.
  std::string last_key_;
};

}  // namespace kvd::storage
