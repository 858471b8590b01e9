// CRC-64 (ECMA-182, reflected), hardware-accelerated by ISA-L. Pure and thread-safe.
#pragma once

#include <cstdint>
#include <string_view>

namespace kvd {

// Continues `crc` (0 to begin) over `bytes`.
uint64_t Crc64(std::string_view bytes, uint64_t crc = 0);

}  // namespace kvd
