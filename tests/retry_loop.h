// A loop whose time stands still but where a test moves it, and that keeps what is to be tried again
// soon until the test says so. Deadlines are not reached.
#pragma once

#include <chrono>
#include <utility>
#include <vector>

#include "tests/inline_loop.h"

namespace kvd {

class RetryLoop : public InlineLoop {
 public:
  MonotonicTime Now() const override { return now; }
  std::unique_ptr<Timer> After(Duration after, Task task) override {
    if (after < std::chrono::seconds(1)) retries.push_back(std::move(task));
    return nullptr;
  }
  void RunRetries(int most) {
    for (int i = 0; i < most && !retries.empty(); ++i) {
      Task task = std::move(retries.front());
      retries.erase(retries.begin());
      task();
    }
  }

  MonotonicTime now;
  std::vector<Task> retries;
};

}  // namespace kvd
