// The index's stored form, see shuffle_file.h.
#include <algorithm>

#include "mapreduce/dataflow/shuffle_file.h"
#include "proto/codec.h"
#include "proto/crc32c.h"

namespace kvd::mapreduce {
namespace {

constexpr std::string_view kMagic = "kvdSHUF";
constexpr uint8_t kVersion = 1;

absl::Status Malformed(const char* what) { return absl::DataLossError(what); }

// One partition's entries; blocks begin at info->bytes.
absl::Status DecodePartition(uint32_t number, Reader* r, BlockFileInfo* info) {
  PartitionBlocks& at = info->partitions[number];
  uint64_t count = r->Count();
  at.offset = r->Varint();
  if (!r->ok() || at.offset != (count == 0 ? 0 : info->bytes)) {
    return Malformed("the index's partitions do not follow each other");
  }
  for (uint64_t i = 0; i < count; ++i) {
    // As a header, which knows what a block can be.
    std::string bytes;
    Writer w(&bytes);
    w.Byte(r->Byte());
    w.Fixed32(number);
    for (int field = 0; field < 3; ++field) {
      uint64_t value = r->Varint();
      if (value > UINT32_MAX) return Malformed("a block in the index is too great");
      w.Fixed32(static_cast<uint32_t>(value));
    }
    w.Fixed32(r->Fixed32());
    BlockHeader block;
    if (!r->ok() || !DecodeBlockHeader(bytes, &block).ok()) {
      return Malformed("a block in the index is malformed");
    }
    at.bytes += kBlockHeaderBytes + block.stored_bytes;
    at.records += block.records;
    at.raw_bytes += block.raw_bytes;
    at.blocks.push_back(block);
    info->block_bytes_max = std::max(info->block_bytes_max, block.raw_bytes);
  }
  info->bytes += at.bytes;
  info->records += at.records;
  info->raw_bytes += at.raw_bytes;
  return absl::OkStatus();
}

}  // namespace

std::string EncodeIndex(const BlockFileInfo& info) {
  std::string out(kMagic);
  Writer w(&out);
  w.Byte(kVersion);
  w.Varint(info.partitions.size());
  w.Varint(info.bytes);
  w.Fixed64(info.hash.high);
  w.Fixed64(info.hash.low);
  for (const PartitionBlocks& partition : info.partitions) {
    w.Varint(partition.blocks.size());
    w.Varint(partition.offset);
    for (const BlockHeader& block : partition.blocks) {
      w.Byte(block.codec);
      w.Varint(block.records);
      w.Varint(block.raw_bytes);
      w.Varint(block.stored_bytes);
      w.Fixed32(block.crc32c);
    }
  }
  w.Fixed32(Crc32c(out));
  return out;
}

absl::StatusOr<BlockFileInfo> DecodeIndex(std::string_view bytes) {
  if (bytes.size() < kMagic.size() + 5) return Malformed("the index is cut short");
  Reader r(bytes.substr(0, bytes.size() - 4));
  if (r.Raw(kMagic.size()) != kMagic) return Malformed("this is no index of a shuffle file");
  if (r.Byte() != kVersion) return Malformed("the index is of an unknown version");
  if (Reader(bytes.substr(bytes.size() - 4)).Fixed32() !=
      Crc32c(bytes.substr(0, bytes.size() - 4))) {
    return Malformed("the index does not match its checksum");
  }
  BlockFileInfo info;
  uint64_t partitions = r.Varint();
  uint64_t data_bytes = r.Varint();
  info.hash.high = r.Fixed64();
  info.hash.low = r.Fixed64();
  if (partitions < 1 || partitions > kPartitionsMax) {
    return Malformed("the index has an impossible number of partitions");
  }
  info.partitions.resize(partitions);
  for (uint32_t i = 0; i < partitions; ++i) {
    absl::Status status = DecodePartition(i, &r, &info);
    if (!status.ok()) return status;
  }
  if (!r.Done() || info.bytes != data_bytes) return Malformed("the index does not add up");
  return info;
}

}  // namespace kvd::mapreduce
