#include "mapreduce/dataflow/block_file.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/bytes.h"
#include "proto/check.h"
#include "proto/codec.h"
#include "proto/error.h"

namespace kvd::mapreduce {
namespace {

absl::Status OutOfOrder(std::string_view key, std::string_view before) {
  return absl::InvalidArgumentError(absl::StrCat("key ", Printable(key), " comes after key ",
                                                 Printable(before), ", keys must not fall"));
}

}  // namespace

absl::Status WriteBudget::Take(uint64_t more) {
  if (cancelled != nullptr && cancelled->load(std::memory_order_relaxed)) {
    return absl::CancelledError("the task was cancelled");
  }
  bytes += more;
  if (bytes <= bytes_max) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat(limit, " is ", bytes_max, " B, the task needs ", bytes, " B or more"));
}

BlockFileWriter::BlockFileWriter(OutputFile* file, uint32_t partitions, WriteBudget* budget)
    : file_(file), budget_(budget) {
  KVD_CHECK(partitions >= 1 && partitions <= kPartitionsMax);
  info_.partitions.resize(partitions);
  XXH3_128bits_reset(&hash_);
}

absl::Status BlockFileWriter::Add(uint32_t partition, std::string_view key,
                                  std::string_view value) {
  if (key.size() + value.size() > kPairBytesMax) {
    return LimitError("a pair's key and value", kPairBytesMax, key.size() + value.size(), "B");
  }
  KVD_CHECK(partition >= partition_ && partition < info_.partitions.size());
  if (partition != partition_) {
    absl::Status status = WriteBlock();
    if (!status.ok()) return status;
    partition_ = partition;
    has_last_key_ = false;
  } else if (builder_.FullFor(key, value)) {
    absl::Status status = WriteBlock();
    if (!status.ok()) return status;
  }
  if (builder_.empty() && has_last_key_ && key < last_key_) return OutOfOrder(key, last_key_);
  if (!builder_.Add(key, value)) return OutOfOrder(key, builder_.last_key());
  return absl::OkStatus();
}

absl::Status BlockFileWriter::WriteBlock() {
  if (builder_.empty()) return absl::OkStatus();
  last_key_ = builder_.last_key();
  has_last_key_ = true;
  out_.clear();
  std::string prelude;
  Writer w(&prelude);
  std::string_view raw = builder_.raw();
  w.Fixed32(partition_);
  w.Fixed32(builder_.records());
  w.Fixed32(static_cast<uint32_t>(raw.size()));
  XXH3_128bits_update(&hash_, prelude.data(), prelude.size());
  XXH3_128bits_update(&hash_, raw.data(), raw.size());
  BlockHeader header = builder_.Finish(partition_, &out_);
  PartitionBlocks& at = info_.partitions[partition_];
  if (at.blocks.empty()) at.offset = info_.bytes;
  at.bytes += out_.size();
  at.records += header.records;
  at.raw_bytes += header.raw_bytes;
  at.blocks.push_back(header);
  info_.bytes += out_.size();
  info_.records += header.records;
  info_.raw_bytes += header.raw_bytes;
  info_.block_bytes_max = std::max(info_.block_bytes_max, header.raw_bytes);
  absl::Status status = budget_->Take(out_.size());
  return status.ok() ? file_->Append(out_) : status;
}

absl::StatusOr<BlockFileInfo> BlockFileWriter::Finish() {
  absl::Status status = WriteBlock();
  if (!status.ok()) return status;
  XXH128_hash_t hash = XXH3_128bits_digest(&hash_);
  info_.hash = {hash.high64, hash.low64};
  return std::move(info_);
}

FileBlockSource::FileBlockSource(std::shared_ptr<const InputFile> file, PartitionBlocks blocks)
    : file_(std::move(file)),
      blocks_(std::move(blocks)),
      at_(blocks_.offset),
      next_at_(blocks_.offset) {
  for (const BlockHeader& block : blocks_.blocks) {
    block_bytes_max_ = std::max<uint64_t>(block_bytes_max_, block.raw_bytes);
  }
}

std::string FileBlockSource::Where() const {
  return absl::StrCat(file_->path(), " at offset ", at_);
}

absl::StatusOr<RawBlock> FileBlockSource::Next() {
  if (next_ == blocks_.blocks.size()) return RawBlock{};
  const BlockHeader& expected = blocks_.blocks[next_++];
  at_ = next_at_;
  size_t size = kBlockHeaderBytes + expected.stored_bytes;
  next_at_ += size;
  char* stored =
      stored_.Reserve(std::max(size, std::min<size_t>(block_bytes_max_, kBlockBytesMax)));
  absl::Status status = file_->Read(at_, size, stored);
  if (!status.ok()) return status;
  BlockHeader header;
  RawBlock block;
  status = OpenBlock({stored, size}, &header, &raw_, &block.bytes);
  if (status.ok() && header != expected) {
    status = absl::DataLossError("the block is not the one that the index names");
  }
  if (!status.ok()) {
    return absl::DataLossError(absl::StrCat(Where(), ": ", status.message()));
  }
  block.records = header.records;
  return block;
}

}  // namespace kvd::mapreduce
