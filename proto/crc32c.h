// CRC-32C (Castagnoli), hardware-accelerated by ISA-L. Pure and thread-safe.
#pragma once

#include <cstdint>
#include <string_view>

namespace kvd {

// Continues `crc` (0 to begin) over `bytes`.
uint32_t Crc32c(std::string_view bytes, uint32_t crc = 0);

// The end-to-end checksum of a stored value: over the key, then the value.
inline uint32_t ValueChecksum(std::string_view key, std::string_view value) {
  return Crc32c(value, Crc32c(key));
}

}  // namespace kvd
