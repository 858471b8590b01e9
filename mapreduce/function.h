// What a job's code is to the rest of the runner: functions over batches of records, which know
// nothing of slices, shards, files or processes. Built-in functions implement them here; those of
// users run in a worker process and are driven through the same interfaces.
#pragma once

#include <charconv>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace kvd::mapreduce {

// Key and value are bytes. Valid during the call that they are given to.
struct Record {
  std::string_view key;
  std::string_view value;
};

// Where functions put what they find out. Used by one thread.
class Emitter {
 public:
  virtual ~Emitter() = default;
  // One pair. After an error (a limit was reached, the disk is full) nothing more is taken: the
  // function returns it.
  virtual absl::Status Emit(std::string_view key, std::string_view value) = 0;
  // As Emit of the number's decimal text. Faster where values are summed or counted.
  virtual absl::Status EmitNumber(std::string_view key, int64_t value) {
    char text[24];
    char* end = std::to_chars(text, text + sizeof(text), value).ptr;
    return Emit(key, {text, static_cast<size_t>(end - text)});
  }
  // Adds to a counter of the job, by its name of 1 to 64 B.
  virtual void Count(std::string_view counter, int64_t delta) = 0;
};

// Called with batches of a slice, in key order; one instance a task attempt. Pure: the same records
// give the same pairs in the same order, whatever ran before.
class MapFunction {
 public:
  virtual ~MapFunction() = default;
  // INVALID_ARGUMENT with BadRecordPayload (bad_record.h): that record is at fault. Any other
  // error ends the attempt.
  virtual absl::Status Map(std::span<const Record> batch, Emitter* out) = 0;
  // After the last batch.
  virtual absl::Status Finish(Emitter* /*out*/) { return absl::OkStatus(); }
};

// The values of one key, in order. Valid until the next one is asked for.
class Values {
 public:
  virtual ~Values() = default;
  // False: there are no more, or they could not be read: status() tells.
  virtual bool Next(std::string_view* value) = 0;
  virtual absl::Status status() const = 0;
};

// Combines (map side, before anything is written) or reduces. Called with keys in order; one
// instance a task attempt. Pure, as above. It need not take all values.
class ReduceFunction {
 public:
  virtual ~ReduceFunction() = default;
  virtual absl::Status Reduce(std::string_view key, Values* values, Emitter* out) = 0;
  virtual absl::Status Finish(Emitter* /*out*/) { return absl::OkStatus(); }
};

// Which reducer gets a key. Pure; thread-safe.
class Partitioner {
 public:
  virtual ~Partitioner() = default;
  // Below `partitions`, which is at least 1.
  virtual uint32_t PartitionOf(std::string_view key, uint32_t partitions) const = 0;
};

}  // namespace kvd::mapreduce
