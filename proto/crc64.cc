#include "proto/crc64.h"

#include <isa-l/crc64.h>

namespace kvd {

uint64_t Crc64(std::string_view bytes, uint64_t crc) {
  return crc64_ecma_refl(crc, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
}

}  // namespace kvd
