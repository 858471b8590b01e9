// How many different values there are, estimated by 4,096 registers of which each holds the longest
// run of zeros that it has seen in hashes: a relative error of about 1.6 %. A set's state depends
// only on which values it holds, not on their order, how often they come or how they were merged.
// HyperLogLog: Flajolet et al. 2007; the estimator is Ertl's improved one (2017).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace kvd::mapreduce {

// Used by one thread.
class HyperLogLog {
 public:
  static constexpr int kPrecision = 12;
  static constexpr uint32_t kRegisters = 1 << kPrecision;
  // More registers than these in use are kept as an array.
  static constexpr size_t kSparseMax = 512;

  void Add(std::string_view value);
  // Takes in a set in its stored form. False: it is malformed, and nothing was taken.
  bool Merge(std::string_view encoded);
  void Encode(std::string* out) const;
  uint64_t Estimate() const;
  size_t MemoryBytes() const;

 private:
  using Dense = std::array<uint8_t, kRegisters>;

  void Raise(uint32_t index, uint8_t rank);

  // index << 8 | rank, sorted; used while dense_ is not there.
  std::vector<uint32_t> sparse_;
  std::unique_ptr<Dense> dense_;
};

}  // namespace kvd::mapreduce
