// Whether to look for what is expected before sleeping, from how that went lately.
#pragma once

#include <algorithm>

namespace kvd {

class Patience {
 public:
  // Whether to look this time. If so, told with Found how it ended.
  bool Try() {
    if (skip_ == 0) return true;
    --skip_;
    return false;
  }
  void Found(bool found) {
    misses_ = found ? 0 : std::min(misses_ + 1, kMissesMax);
    skip_ = found ? 0 : (1 << misses_) - 1;
  }

 private:
  static constexpr int kMissesMax = 6;  // then one time in 64 is tried
  int misses_ = 0;                      // in a row
  int skip_ = 0;
};

}  // namespace kvd
