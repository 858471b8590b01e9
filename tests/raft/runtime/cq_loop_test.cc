// The loop on a completion queue: what is posted and what is due runs, whether it sleeps or stays
// awake.
#include "raft/runtime/cq_loop.h"

#include <algorithm>
#include <future>
#include <thread>

#include "gtest/gtest.h"

namespace kvd {
namespace {

class CqLoopTest : public testing::TestWithParam<bool> {
 protected:
  CqLoopTest() {
    loop_.Post([this] { loop_.ExpectSoon(GetParam()); });
    thread_ = std::thread([this] { loop_.Run(); });
  }
  ~CqLoopTest() override {
    loop_.Stop();
    thread_.join();
    loop_.Drain(milliseconds(1));
  }
  // Whether the task ran.
  bool Do(Task task) {
    std::promise<void> done;
    auto ran = done.get_future();
    loop_.Post([task = std::move(task), done = std::move(done)]() mutable {
      task();
      done.set_value();
    });
    return ran.wait_for(std::chrono::seconds(30)) == std::future_status::ready;
  }

  CqLoop loop_{std::make_unique<grpc::CompletionQueue>()};
  std::thread thread_;
};

TEST_P(CqLoopTest, WhatIsPostedRunsInOrder) {
  std::vector<int> order;
  for (int i = 0; i < 1000; ++i) loop_.Post([&order, i] { order.push_back(i); });
  ASSERT_TRUE(Do([] {}));
  ASSERT_EQ(order.size(), 1000u);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST_P(CqLoopTest, TimersRunInTheirOrderAndNotBeforeTheirTime) {
  std::promise<void> done;
  std::vector<int> order;
  std::unique_ptr<Timer> late, soon, cancelled;
  MonotonicTime began, ended;
  ASSERT_TRUE(Do([&] {
    began = loop_.Now();
    late = loop_.After(milliseconds(20), [&] {
      order.push_back(2);
      ended = loop_.Now();
      done.set_value();
    });
    soon = loop_.After(milliseconds(10), [&] { order.push_back(1); });
    cancelled = loop_.After(milliseconds(15), [&] { order.push_back(3); });
    cancelled.reset();
  }));
  ASSERT_EQ(done.get_future().wait_for(std::chrono::seconds(30)), std::future_status::ready);
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
  EXPECT_GE(ended - began, milliseconds(20));
  ASSERT_TRUE(Do([&] {
    late.reset();
    soon.reset();
  }));
}

TEST_P(CqLoopTest, EventsComeBetweenTimersAndPosts) {
  std::promise<bool> event;
  grpc::Alarm alarm;
  ASSERT_TRUE(Do([&] {
    alarm.Set(loop_.queue(), gpr_time_0(GPR_CLOCK_MONOTONIC),
              CqOnce::Make([&](bool ok) { event.set_value(ok); }));
  }));
  auto came = event.get_future();
  ASSERT_EQ(came.wait_for(std::chrono::seconds(30)), std::future_status::ready);
  EXPECT_TRUE(came.get());
}

TEST_P(CqLoopTest, ATurnThatTakesLongIsCounted) {
  constexpr uint64_t kWaits = 5;
  for (uint64_t i = 0; i < kWaits; ++i) {
    std::this_thread::sleep_for(CqLoop::kLate + milliseconds(20));  // with nothing to do
    ASSERT_TRUE(Do([] {}));
  }
  uint64_t before = loop_.late_turns();
  EXPECT_LT(before, kWaits);
  ASSERT_TRUE(Do([] { std::this_thread::sleep_for(CqLoop::kLate + milliseconds(50)); }));
  // Counted when the turn is over.
  ASSERT_TRUE(Do([] {}));
  EXPECT_GE(loop_.late_turns(), before + 1);
}

INSTANTIATE_TEST_SUITE_P(, CqLoopTest, testing::Bool(),
                         [](const auto& info) { return info.param ? "Awake" : "Asleep"; });

}  // namespace
}  // namespace kvd
