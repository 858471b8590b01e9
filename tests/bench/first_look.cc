// A first look at throughput: puts, then gets, N in flight, closed loop, over the SDK.
//
//   first_look ADDRESS[,ADDRESS...] [IN_FLIGHT] [SECONDS]
#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <vector>

#include "absl/strings/str_split.h"
#include "kvd/client.h"

namespace {

using Clock = std::chrono::steady_clock;

// Keeps `in_flight` calls of one kind under way for `seconds`; prints rate and percentiles.
class ClosedLoop {
 public:
  ClosedLoop(kvd::Client* client, bool put, int in_flight, double seconds)
      : client_(client), put_(put), end_(Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                                            std::chrono::duration<double>(seconds))) {
    auto start = Clock::now();
    for (int i = 0; i < in_flight; ++i) Issue();
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, [&] { return open_ == 0; });
    double took = std::chrono::duration<double>(Clock::now() - start).count();
    std::sort(micros_.begin(), micros_.end());
    auto at = [&](double q) { return micros_.empty() ? 0 : micros_[static_cast<size_t>(q * static_cast<double>(micros_.size() - 1))]; };
    std::printf("%s: %d in flight, %.0f ops/s, p50 %.2f ms, p99 %.2f ms, %zu errors\n",
                put ? "put" : "get", in_flight, static_cast<double>(micros_.size()) / took,
                at(0.5) / 1000.0, at(0.99) / 1000.0, errors_);
  }

 private:
  void Issue() {
    uint64_t n;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      n = next_++;
      ++open_;
    }
    std::string key = "bench/" + std::to_string(n * 7919 % 100'000);
    auto start = Clock::now();
    if (put_) {
      client_->AsyncPut(key, value_, {}, [this, start](const auto& r) { Ended(start, r.ok()); });
    } else {
      client_->AsyncGet(key, {}, [this, start](const auto& r) { Ended(start, r.ok()); });
    }
  }

  void Ended(Clock::time_point start, bool ok) {
    auto now = Clock::now();
    if (now < end_) Issue();
    std::lock_guard<std::mutex> lock(mutex_);
    if (ok) {
      micros_.push_back(std::chrono::duration<double, std::micro>(now - start).count());
    } else {
      ++errors_;
    }
    if (--open_ == 0) done_.notify_one();
  }

  kvd::Client* const client_;
  const bool put_;
  const Clock::time_point end_;
  const std::string value_ = std::string(256, 'v');
  std::mutex mutex_;
  std::condition_variable done_;
  uint64_t next_ = 0;
  int open_ = 0;
  size_t errors_ = 0;
  std::vector<double> micros_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s ADDRESS[,ADDRESS...] [IN_FLIGHT] [SECONDS]\n", argv[0]);
    return 2;
  }
  kvd::ClientOptions options;
  options.addresses = absl::StrSplit(argv[1], ',');
  int in_flight = argc > 2 ? std::atoi(argv[2]) : 64;
  double seconds = argc > 3 ? std::atof(argv[3]) : 5;
  auto client = kvd::Client::Connect(options);
  if (!client.ok()) {
    std::fprintf(stderr, "%s\n", client.status().ToString().c_str());
    return 1;
  }
  for (bool put : {true, false}) ClosedLoop(client->get(), put, in_flight, seconds);
}
