// A file of blocks, sorted by partition and key, written from front to end. Runs are such files
// alone; shuffle files have an index file beside them (shuffle_file.h).
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "mapreduce/dataflow/block.h"
#include "mapreduce/dataflow/block_source.h"
#include "mapreduce/dataflow/file.h"
#include "mapreduce/dataflow/hash.h"

namespace kvd::mapreduce {

// The identity of what a file holds: XXH3 over its raw blocks, each behind its partition, records
// and raw bytes. It does not depend on how well blocks were compressed.
struct ContentHash {
  uint64_t high = 0;
  uint64_t low = 0;

  friend bool operator==(const ContentHash&, const ContentHash&) = default;
};

// The blocks of one partition stand one behind the other.
struct PartitionBlocks {
  uint64_t offset = 0;
  uint64_t bytes = 0;
  uint64_t records = 0;
  uint64_t raw_bytes = 0;
  std::vector<BlockHeader> blocks;
};

struct BlockFileInfo {
  std::vector<PartitionBlocks> partitions;
  uint64_t bytes = 0;
  uint64_t records = 0;
  uint64_t raw_bytes = 0;
  // Raw bytes of the greatest block.
  uint32_t block_bytes_max = 0;
  ContentHash hash;
};

// What all writers of a task may have on the disk at a time.
struct WriteBudget {
  const char* limit;
  uint64_t bytes_max;
  // Set by another thread to end the task. May be null.
  const std::atomic<bool>* cancelled = nullptr;
  uint64_t bytes = 0;

  // RESOURCE_EXHAUSTED naming the limit; CANCELLED.
  absl::Status Take(uint64_t more);
  void Give(uint64_t back) { bytes -= back; }
};

// Used by one thread.
class BlockFileWriter {
 public:
  // `file` and `budget` outlive it.
  BlockFileWriter(OutputFile* file, uint32_t partitions, WriteBudget* budget);

  // Pairs come by partition, then by key; those of one key in an order of the caller's.
  // INVALID_ARGUMENT naming the keys if they don't, or kPairBytesMax.
  absl::Status Add(uint32_t partition, std::string_view key, std::string_view value);
  // Writes the last block. The last call.
  absl::StatusOr<BlockFileInfo> Finish();

 private:
  absl::Status WriteBlock();

  OutputFile* const file_;
  WriteBudget* const budget_;
  BlockFileInfo info_;
  BlockBuilder builder_;
  uint32_t partition_ = 0;
  // Of the block before the one that is gathered, in the same partition.
  std::string last_key_;
  bool has_last_key_ = false;
  std::string out_;
  XXH3_state_t hash_;
};

// The blocks of one partition in a file; each is checked against the headers that were noted.
class FileBlockSource final : public BlockSource {
 public:
  FileBlockSource(std::shared_ptr<const InputFile> file, PartitionBlocks blocks);

  absl::StatusOr<RawBlock> Next() override;
  uint64_t block_bytes_max() const override { return block_bytes_max_; }
  std::string Where() const override;

 private:
  std::shared_ptr<const InputFile> file_;
  PartitionBlocks blocks_;
  uint64_t block_bytes_max_ = 0;
  size_t next_ = 0;
  uint64_t at_;
  uint64_t next_at_;
  Buffer stored_;
  Buffer raw_;
};

}  // namespace kvd::mapreduce
