// A stream of pairs sorted by key: how merging, aggregating, combining and writing are put
// together.
#pragma once

#include <string_view>
#include <utility>

#include "absl/status/status.h"

namespace kvd::mapreduce {

// Used by one thread.
class PairStream {
 public:
  virtual ~PairStream() = default;
  // False: there are no more, or they could not be had: see status().
  virtual bool Next() = 0;
  // Valid until the next call of Next.
  std::string_view key() const { return key_; }
  std::string_view value() const { return value_; }
  const absl::Status& status() const { return status_; }

 protected:
  bool Fail(absl::Status status) {
    status_ = std::move(status);
    return false;
  }

  std::string_view key_;
  std::string_view value_;
  absl::Status status_;
};

// Where a stream goes.
class PairSink {
 public:
  virtual ~PairSink() = default;
  virtual absl::Status Add(std::string_view key, std::string_view value) = 0;
};

}  // namespace kvd::mapreduce
