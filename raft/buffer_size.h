// Replicas take in the same writes: with buffers of one size they would flush, and then compact,
// all at the same moment, and nobody would answer quickly.
#pragma once

#include <cstddef>
#include <random>

namespace kvd::raft {

// Four fifths of it to all of it, each process anew.
inline size_t StaggeredBufferBytes(size_t most) {
  std::random_device device;
  return most - most / 5 * (device() % 1024) / 1024;
}

}  // namespace kvd::raft
