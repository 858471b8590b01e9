#include "tests/bench/generator.h"

namespace kvd::bench {
namespace {

std::chrono::steady_clock::duration Seconds(double s) {
  return std::chrono::duration_cast<std::chrono::steady_clock::duration>(std::chrono::duration<double>(s));
}

double SecondsBetween(std::chrono::steady_clock::time_point a, std::chrono::steady_clock::time_point b) {
  return std::chrono::duration<double>(b - a).count();
}

}  // namespace

Generator::Generator(Target* target, Workload workload, const LoadOptions& options)
    : target_(target), workload_(std::move(workload)), options_(options) {}

LoadResult Generator::Run() {
  target_->Post([this] { Start(); });
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [&] { return done_; });
  return std::move(result_);
}

void Generator::Start() {
  started_ = std::chrono::steady_clock::now();
  bool counted = options_.operations != 0;
  measure_from_ = started_ + Seconds(counted ? 0 : options_.warmup_seconds);
  end_ = counted ? Time::max() : measure_from_ + Seconds(options_.seconds);
  next_arrival_ = last_success_ = started_;
  if (options_.rate > 0) return Arrive();
  for (int i = 0; i < options_.in_flight; ++i) Issue(std::chrono::steady_clock::now());
}

void Generator::Arrive() {
  Time now = std::chrono::steady_clock::now();
  while (next_arrival_ <= now && open_ < options_.in_flight && !ending_) {
    Issue(next_arrival_);
    next_arrival_ += Seconds(1 / options_.rate);
  }
  if (ending_ && open_ == 0) return;
  target_->After(0.0005, [this] { Arrive(); });
}

void Generator::Issue(Time intended) {
  ++open_;
  ++issued_;
  Operation op = workload_.Next();
  target_->Issue(op, [this, kind = op.kind, intended](bool ok, uint64_t rows) { Ended(kind, intended, ok, rows); });
}

void Generator::Ended(Kind kind, Time intended, bool ok, uint64_t rows) {
  Time now = std::chrono::steady_clock::now();
  --open_;
  if (!measuring_ && now >= measure_from_) {
    measuring_ = true;
    measure_from_ = last_success_ = now;
    if (on_measure) on_measure();
  }
  if (measuring_ && !ending_) {
    if (ok) {
      ++result_.operations;
      result_.rows += rows;
      result_.longest_gap_seconds = std::max(result_.longest_gap_seconds, SecondsBetween(last_success_, now));
      last_success_ = now;
      auto nanos = static_cast<uint64_t>(std::chrono::nanoseconds(now - intended).count());
      result_.all.Add(nanos);
      result_.by_kind[static_cast<size_t>(kind)].Add(nanos);
    } else {
      ++result_.errors;
    }
  }
  bool enough = options_.operations != 0 && issued_ >= options_.operations;
  if (!ending_ && (now >= end_ || (enough && open_ == 0))) {
    ending_ = true;
    result_.seconds = SecondsBetween(measure_from_, now);
    // A stall that had not ended by then counts as well.
    if (measuring_) result_.longest_gap_seconds = std::max(result_.longest_gap_seconds, SecondsBetween(last_success_, now));
    if (on_end) on_end();
  }
  if (!ending_ && !enough && options_.rate == 0) return Issue(now);
  if (!ending_ || open_ > 0) return;
  std::lock_guard<std::mutex> lock(mutex_);
  done_ = true;
  changed_.notify_one();
}

}  // namespace kvd::bench
