// The limits of the data path. What a job may choose below them is in its options.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kvd::mapreduce {

// Raw bytes of a block, unless one pair alone is more.
inline constexpr size_t kBlockBytesMax = 256 << 10;
// Key and value of one pair together.
inline constexpr size_t kPairBytesMax = 16 << 20;
// Raw bytes that a reader takes a block to have at most: a pair and its three lengths.
inline constexpr size_t kBlockBytesLimit = kPairBytesMax + 32;
inline constexpr uint32_t kPartitionsMax = 1000;
// Sources of one merge; more are merged in steps.
inline constexpr size_t kMergeSourcesMax = 64;
// Memory of one task.
inline constexpr uint64_t kTaskMemoryMin = 64 << 10;
inline constexpr uint64_t kTaskMemoryMax = uint64_t{4} << 30;
// Bytes of a counter's name.
inline constexpr size_t kCounterNameMax = 64;
// Entries of a TOPK, and bytes of what stands behind an entry's number.
inline constexpr uint32_t kTopMax = 1000;
inline constexpr size_t kTopPayloadMax = 4 << 10;

}  // namespace kvd::mapreduce
