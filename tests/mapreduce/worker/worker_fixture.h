// User code in real worker processes, for tests.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "mapreduce/worker/guest_functions.h"
#include "tests/scratch_directory.h"

namespace kvd::mapreduce {

using Pairs = std::vector<std::pair<std::string, std::string>>;

// Keeps what it gets.
class Collector : public Emitter {
 public:
  absl::Status Emit(std::string_view key, std::string_view value) override {
    pairs.emplace_back(key, value);
    return absl::OkStatus();
  }
  void Count(std::string_view counter, int64_t delta) override {
    counts[std::string(counter)] += delta;
  }

  Pairs pairs;
  std::map<std::string, int64_t> counts;
};

// Values from memory.
class ValuesOf : public Values {
 public:
  explicit ValuesOf(std::vector<std::string> values) : values_(std::move(values)) {}
  bool Next(std::string_view* value) override {
    if (taken_ == values_.size()) return false;
    *value = values_[taken_++];
    return true;
  }
  absl::Status status() const override { return absl::OkStatus(); }
  size_t taken() const { return taken_; }

 private:
  std::vector<std::string> values_;
  size_t taken_ = 0;
};

class WorkerTest : public ::testing::Test {
 protected:
  WorkerTest();

  GuestSpec Lua(std::string source) const;
  // The test's native program (test_worker.cc), doing what is said; or the hostile one
  // (hostile_worker.cc).
  GuestSpec Native(std::string what) const;
  GuestSpec Hostile(std::string how) const;

  // The status and pairs of mapping records, in one batch and with Finish.
  struct Outcome {
    absl::Status status;
    Collector out;
    std::vector<std::string> log;
  };
  Outcome Map(GuestSpec spec, const Pairs& records) const;
  // That user code failed at the record `key`, for a reason that holds `words`.
  static void ExpectBadRecord(const absl::Status& status, std::string_view key,
                              std::string_view words);
  // After whatever a guest did, others work as ever.
  void ExpectUnharmed() const;

  GuestHost host_;

 private:
  ScratchDirectory programs_;
  ScratchDirectory empty_;
};

// Whether this build has a sanitizer, in whose presence some limits are off.
bool Sanitized();

}  // namespace kvd::mapreduce
