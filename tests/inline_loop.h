// A loop without a thread: runs what is posted at once, on whatever thread posts it; time stands
// still.
#pragma once

#include <memory>

#include "raft/runtime/loop.h"

namespace kvd {

class InlineLoop : public Loop {
 public:
  MonotonicTime Now() const override { return {}; }
  std::unique_ptr<Timer> After(Duration, Task) override { return nullptr; }
  uint64_t WallMillis() const override { return 0; }
  void Post(Task task) override { task(); }
  Random& random() override { return random_; }

 private:
  Random random_{1};
};

}  // namespace kvd
