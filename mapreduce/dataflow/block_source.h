// Where a merge gets its pairs from: blocks of one partition of one sorted file, which may lie here
// or on another store.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace kvd::mapreduce {

// Verified and decompressed; valid until the source's next call. No records: there are no more.
struct RawBlock {
  std::string_view bytes;
  uint32_t records = 0;
};

// Used by one thread, which it may block. Cheap as long as nothing was asked for: a task may have
// thousands of them, of which it reads a bounded number at a time.
class BlockSource {
 public:
  virtual ~BlockSource() = default;
  // In key order over all blocks. DATA_LOSS naming file and offset if a block is damaged.
  virtual absl::StatusOr<RawBlock> Next() = 0;
  // Raw bytes of its greatest block, as far as known: what reading it takes of the memory.
  virtual uint64_t block_bytes_max() const = 0;
  // The file, store and place of the last block given, for messages.
  virtual std::string Where() const = 0;
};

}  // namespace kvd::mapreduce
