#include "tests/bench/generator.h"

namespace kvd::bench {
namespace {

using Clock = std::chrono::steady_clock;

// Arrivals closer to each other than this are begun together.
constexpr double kPaceSecondsMin = 0.0002;
// How often the run looks whether it is over, beside each operation that ends.
constexpr double kLookSeconds = 0.1;

Clock::duration Seconds(double s) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(s));
}

double SecondsBetween(Clock::time_point a, Clock::time_point b) {
  return std::chrono::duration<double>(b - a).count();
}

}  // namespace

Generator::Generator(Target* target, Workload workload, const LoadOptions& options)
    : target_(target), workload_(std::move(workload)), options_(options) {}

LoadResult Generator::Run() {
  target_->Post([this] { Start(); });
  double pace = options_.rate > 0 ? std::max(1 / options_.rate, kPaceSecondsMin) : kLookSeconds;
  Clock::duration step = Seconds(std::min(pace, kLookSeconds));
  std::unique_lock<std::mutex> lock(mutex_);
  for (Time next = Clock::now() + step; !changed_.wait_until(lock, next, [&] { return done_; });) {
    target_->Post([this] { Turn(); });
    // After a pause of this process what was due meanwhile is begun in one turn.
    next = std::max(next + step, Clock::now());
  }
  return std::move(result_);
}

void Generator::Start() {
  started_ = Clock::now();
  bool counted = options_.operations != 0;
  measure_from_ = started_ + Seconds(counted ? 0 : options_.warmup_seconds);
  end_ = counted ? Time::max() : measure_from_ + Seconds(options_.seconds);
  next_arrival_ = last_success_ = last_ended_ = started_;
  if (options_.rate > 0) return IssueDue(started_);
  for (int i = 0; i < options_.in_flight && !Enough(); ++i) Issue(Clock::now());
}

void Generator::IssueDue(Time now) {
  while (next_arrival_ <= now && open_ < static_cast<uint64_t>(options_.in_flight) && !ending_ &&
         !Enough()) {
    Issue(next_arrival_);
    next_arrival_ += Seconds(1 / options_.rate);
  }
}

void Generator::Turn() {
  if (finished_) return;
  Time now = Clock::now();
  if (!ending_ && now >= end_) EndMeasurement(now);
  if (!ending_ && options_.rate > 0) IssueDue(now);
  bool stuck = now - last_ended_ > Seconds(options_.give_up_seconds);
  if (ending_ ? open_ == 0 || stuck : options_.operations != 0 && stuck) Finish(now);
}

void Generator::Issue(Time intended) {
  ++open_;
  ++issued_;
  Operation op = workload_.Next();
  target_->Issue(op, [this, kind = op.kind, intended](bool ok, uint64_t rows) {
    Ended(kind, intended, ok, rows);
  });
}

void Generator::Ended(Kind kind, Time intended, bool ok, uint64_t rows) {
  if (finished_) return;
  Time now = Clock::now();
  --open_;
  last_ended_ = now;
  if (ok) ++result_.whole_operations;
  if (!measuring_ && now >= measure_from_) {
    measuring_ = true;
    measure_from_ = last_success_ = now;
    if (on_measure) on_measure();
  }
  if (measuring_ && !ending_) Count(now, kind, intended, ok, rows);
  if (!ending_ && (now >= end_ || (Enough() && open_ == 0))) EndMeasurement(now);
  if (ending_) {
    if (open_ == 0) Finish(now);
  } else if (options_.rate > 0) {
    IssueDue(now);
  } else if (!Enough()) {
    Issue(now);
  }
}

void Generator::Count(Time now, Kind kind, Time intended, bool ok, uint64_t rows) {
  if (!ok) {
    ++result_.errors;
    return;
  }
  ++result_.operations;
  result_.rows += rows;
  result_.longest_gap_seconds =
      std::max(result_.longest_gap_seconds, SecondsBetween(last_success_, now));
  last_success_ = now;
  auto nanos = static_cast<uint64_t>(std::chrono::nanoseconds(now - intended).count());
  result_.all.Add(nanos);
  result_.by_kind[static_cast<size_t>(kind)].Add(nanos);
}

void Generator::EndMeasurement(Time now) {
  ending_ = true;
  if (!measuring_ && on_measure) on_measure();  // not one operation has ended
  result_.seconds = SecondsBetween(std::min(measure_from_, now), now);
  // A stall that had not ended by then counts as well.
  result_.longest_gap_seconds =
      std::max(result_.longest_gap_seconds, SecondsBetween(last_success_, now));
  if (on_end) on_end();
}

void Generator::Finish(Time now) {
  if (!ending_) EndMeasurement(now);
  finished_ = true;
  result_.whole_seconds = SecondsBetween(started_, now);
  result_.unfinished = open_;
  result_.errors += open_;
  std::lock_guard<std::mutex> lock(mutex_);
  done_ = true;
  changed_.notify_one();
}

}  // namespace kvd::bench
