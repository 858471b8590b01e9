// Counts durations in classes whose width is at most 1.6 % of the value. Not thread-safe.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

namespace kvd::bench {

class Histogram {
 public:
  Histogram() : counts_(kClasses) {}

  void Add(uint64_t nanos) {
    ++counts_[ClassOf(nanos)];
    ++count_;
    sum_ += nanos;
    max_ = std::max(max_, nanos);
  }
  uint64_t count() const { return count_; }
  uint64_t max() const { return max_; }
  double mean() const {
    return count_ == 0 ? 0 : static_cast<double>(sum_) / static_cast<double>(count_);
  }

  // The least duration that a share `q` of all are within; 0 if there is none.
  uint64_t At(double q) const {
    auto wanted = static_cast<uint64_t>(std::llround(q * static_cast<double>(count_)));
    uint64_t seen = 0;
    for (size_t i = 0; i < counts_.size(); ++i) {
      seen += counts_[i];
      if (seen >= wanted && seen > 0) return std::min(UpperOf(i), max_);
    }
    return max_;
  }

 private:
  static constexpr int kSubBits = 6;  // classes of one power of two
  static constexpr size_t kClasses = static_cast<size_t>(64 - kSubBits + 1) << kSubBits;

  static size_t ClassOf(uint64_t nanos) {
    if (nanos < (1u << kSubBits)) return static_cast<size_t>(nanos);
    int shift = static_cast<int>(std::bit_width(nanos)) - 1 - kSubBits;
    return (static_cast<size_t>(shift + 1) << kSubBits) +
           ((nanos >> shift) & ((1u << kSubBits) - 1));
  }
  static uint64_t UpperOf(size_t i) {
    if (i < (1u << kSubBits)) return i;
    auto shift = static_cast<int>(i >> kSubBits) - 1;
    uint64_t low = ((uint64_t{1} << kSubBits) + (i & ((1u << kSubBits) - 1))) << shift;
    return low + (uint64_t{1} << shift) - 1;
  }

  std::vector<uint64_t> counts_;
  uint64_t count_ = 0;
  uint64_t sum_ = 0;
  uint64_t max_ = 0;
};

}  // namespace kvd::bench
