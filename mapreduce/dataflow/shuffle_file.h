// The shuffle file: what one map task leaves for all reducers, or, with one partition, what one
// reduce task leaves as its output. A data file of blocks by partition and key (block.h) and an
// index file that says where the blocks are:
//
//   NAME.data   := block...
//   NAME.index  := "kvdSHUF" version (1 B) partitions data_bytes content_hash (16 B)
//                  partition... crc32c (4 B, over all before it)
//   partition   := blocks offset entry...
//   entry       := codec (1 B) records raw_bytes stored_bytes crc32c (4 B)
//
// Numbers without a length are varints. Both are written under temporary names; the index is
// renamed last, so where an index is, the file is whole. A reader believes nothing: the index by
// its checksum and by what must add up, every block by its own and by its entry.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "mapreduce/dataflow/block_file.h"
#include "mapreduce/dataflow/block_source.h"
#include "mapreduce/dataflow/file.h"

namespace kvd::mapreduce {

// INVALID or malformed bytes: DATA_LOSS that says what is wrong.
std::string EncodeIndex(const BlockFileInfo& info);
absl::StatusOr<BlockFileInfo> DecodeIndex(std::string_view bytes);

// Used by one thread. Unless Finish succeeds, nothing is left on the disk.
class ShuffleFileWriter {
 public:
  // Makes `path`.data and `path`.index. `budget` outlives it.
  static absl::StatusOr<std::unique_ptr<ShuffleFileWriter>> Create(const std::string& path,
                                                                   uint32_t partitions,
                                                                   WriteBudget* budget);
  ~ShuffleFileWriter();
  // Where pairs go.
  BlockFileWriter* blocks() { return &writer_; }
  // With `sync` the files survive a power cut once this returns. The last call.
  absl::StatusOr<BlockFileInfo> Finish(bool sync);

 private:
  ShuffleFileWriter(std::string path, std::unique_ptr<OutputFile> file, uint32_t partitions,
                    WriteBudget* budget)
      : path_(std::move(path)), file_(std::move(file)), writer_(file_.get(), partitions, budget) {}
  absl::Status Publish(const BlockFileInfo& info, bool sync);

  const std::string path_;
  std::unique_ptr<OutputFile> file_;
  BlockFileWriter writer_;
  // Whether NAME.data is there without its index.
  bool half_published_ = false;
};

// Thread-safe.
class ShuffleFileReader {
 public:
  // Reads and checks the index. DATA_LOSS naming the file, NOT_FOUND if there is none.
  static absl::StatusOr<std::shared_ptr<const ShuffleFileReader>> Open(const std::string& path);

  const BlockFileInfo& info() const { return info_; }
  const InputFile& data() const { return *data_; }
  // Requires: partition < info().partitions.size().
  std::unique_ptr<BlockSource> Partition(uint32_t partition) const;

 private:
  ShuffleFileReader(std::shared_ptr<const InputFile> data, BlockFileInfo info)
      : data_(std::move(data)), info_(std::move(info)) {}

  const std::shared_ptr<const InputFile> data_;
  const BlockFileInfo info_;
};

// One partition of the file at `path`, which is opened when the first block is asked for and closed
// after the last. `block_bytes_max` as the file's info has it.
std::unique_ptr<BlockSource> LocalPartition(std::string path, uint32_t partition,
                                            uint64_t block_bytes_max);

// Removes both files; that they are not there is fine.
void RemoveShuffleFile(const std::string& path);

}  // namespace kvd::mapreduce
