// XXH3, the hash of everything in the data path that must be the same on every store and in every
// version: which partition a key has, samples, estimates, the identity of a file. Pure.
#pragma once

#include <cstdint>
#include <string_view>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace kvd::mapreduce {

// Seeds: what is chosen by one of them says nothing about what is chosen by another.
inline constexpr uint64_t kPartitionSeed = 0;
inline constexpr uint64_t kDistinctSeed = 0x6b76642d68796c31;
inline constexpr uint64_t kSampleSeed = 0x6b76642d73616d31;

inline uint64_t Hash64(std::string_view bytes, uint64_t seed) {
  return seed == 0 ? XXH3_64bits(bytes.data(), bytes.size())
                   : XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

// An even share of the hash's range each: 0 to `partitions` - 1.
inline uint32_t PartitionOfHash(uint64_t hash, uint32_t partitions) {
  return static_cast<uint32_t>((hash >> 32) * partitions >> 32);
}

}  // namespace kvd::mapreduce
