#include "proto/crc32c.h"

#include <isa-l/crc.h>

namespace kvd {

uint32_t Crc32c(std::string_view bytes, uint32_t crc) {
  // ISA-L takes a non-const pointer and an int length, and neither inverts on entry nor exit.
  auto* data = reinterpret_cast<unsigned char*>(const_cast<char*>(bytes.data()));
  return ~crc32_iscsi(data, static_cast<int>(bytes.size()), ~crc);
}

}  // namespace kvd
