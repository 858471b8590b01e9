// How much room a store's disk has, as stores tell each other.
#pragma once

#include <cstdint>

namespace kvd {

enum class DiskState : uint8_t {
  kOk = 0,
  kLow = 1,       // no more data: what is left is for deletes and compactions
  kCritical = 2,  // deep in the reserve: nothing is written that can be put off
};

inline const char* ToString(DiskState state) {
  switch (state) {
    case DiskState::kOk: return "ok";
    case DiskState::kLow: return "low";
    case DiskState::kCritical: return "critical";
  }
  return "?";
}

}  // namespace kvd
