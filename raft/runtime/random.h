// A seeded generator of pseudo-random numbers (SplitMix64, Steele et al. 2014). Deterministic: the
// same seed gives the same numbers everywhere. Not thread-safe, not for secrets.
#pragma once

#include <cstdint>

namespace kvd {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t Next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  // Uniform in [0, n). Requires n > 0.
  uint64_t Below(uint64_t n) { return Next() % n; }
  // Uniform in [low, high].
  uint64_t Between(uint64_t low, uint64_t high) { return low + Below(high - low + 1); }
  // True with probability p.
  bool Chance(double p) { return static_cast<double>(Next() >> 11) * 0x1.0p-53 < p; }
  // A new generator, independent of what this one gives next.
  Random Fork() { return Random(Next()); }

 private:
  uint64_t state_;
};

}  // namespace kvd
