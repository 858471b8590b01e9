// The block: a stretch of pairs of one partition, sorted by key, and the unit of what is written,
// checked, sent and read.
//
//   block  := codec (1 B: 0 raw, 1 LZ4) partition records raw_bytes stored_bytes crc32c
//             (4 B each, big-endian) stored
//   stored := the raw bytes, or their LZ4 block if that is shorter
//   raw    := pair...
//   pair   := varint shared, varint rest, varint value_bytes, rest bytes of the key, value
//
// A key begins with the first `shared` bytes of the key before it in the block: with as many as the
// two have in common. crc32c is over the header before it and `stored`.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "mapreduce/dataflow/limits.h"

namespace kvd::mapreduce {

inline constexpr size_t kBlockHeaderBytes = 21;

struct BlockHeader {
  enum Codec : uint8_t { kRaw = 0, kLz4 = 1 };
  uint8_t codec = kRaw;
  uint32_t partition = 0;
  uint32_t records = 0;
  uint32_t raw_bytes = 0;
  uint32_t stored_bytes = 0;
  uint32_t crc32c = 0;

  friend bool operator==(const BlockHeader&, const BlockHeader&) = default;
};

// Bytes whose contents nobody cares for until they are written: growing them copies and clears
// nothing.
class Buffer {
 public:
  // At least so many bytes; what was in them may be gone.
  char* Reserve(size_t bytes);
  char* data() const { return bytes_.get(); }
  size_t capacity() const { return capacity_; }

 private:
  std::unique_ptr<char[]> bytes_;
  size_t capacity_ = 0;
};

// Gathers pairs of a block. Used by one thread.
class BlockBuilder {
 public:
  bool empty() const { return records_ == 0; }
  // Whether the block must be finished before this pair.
  bool FullFor(std::string_view key, std::string_view value) const {
    return records_ > 0 && used_ + key.size() + value.size() + 15 > kBlockBytesMax;
  }
  // False: the key comes before the one before it; nothing was added. Requires: key and value are
  // kPairBytesMax together at most, !FullFor(key, value).
  bool Add(std::string_view key, std::string_view value);
  uint32_t records() const { return records_; }
  const std::string& last_key() const { return last_key_; }
  std::string_view raw() const { return {raw_.data(), used_}; }
  // Appends the block to `out` and begins a new one. Requires: not empty.
  BlockHeader Finish(uint32_t partition, std::string* out);

 private:
  Buffer raw_;
  Buffer packed_;
  size_t used_ = 0;
  uint32_t records_ = 0;
  std::string last_key_;
};

// DATA_LOSS if it is none that was ever written; its checksum is not looked at. Requires:
// kBlockHeaderBytes.
absl::Status DecodeBlockHeader(std::string_view bytes, BlockHeader* header);

// Checks a whole block and gives its raw bytes, in `raw` or in `block` itself. DATA_LOSS saying
// what does not match.
absl::Status OpenBlock(std::string_view block, BlockHeader* header, Buffer* raw,
                       std::string_view* bytes);

// Walks over the raw bytes of a block, which outlive it.
class BlockReader {
 public:
  // Goes to the first of `records` pairs.
  void Begin(std::string_view raw, uint32_t records);
  // False: there are no more, or the block is malformed: see ok().
  bool Next();
  bool ok() const { return ok_; }
  // Valid until the next call.
  std::string_view key() const { return {key_, key_bytes_}; }
  std::string_view value() const { return value_; }
  // Whether the key is that of the pair before, in this block.
  bool same_key() const { return same_key_; }

 private:
  bool Fail();

  const char* at_ = nullptr;
  const char* end_ = nullptr;
  uint32_t left_ = 0;
  bool ok_ = true;
  bool same_key_ = false;
  Buffer key_buffer_;
  // The key's bytes: in key_buffer_, or in the block if it shares none.
  const char* key_ = nullptr;
  size_t key_bytes_ = 0;
  std::string_view value_;
};

}  // namespace kvd::mapreduce
