// An ordered map of bytes to bytes, on disk, without a log of its own: what is not flushed is lost
// in a crash and replayed from the Raft log. Owned by one loop, except where noted.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace kvd::storage {

class WriteBatch {
 public:
  virtual ~WriteBatch() = default;
  // About so many bytes will be in it. Requires: it is empty.
  virtual void Reserve(size_t /*bytes*/) {}
  virtual void Put(std::string_view key, std::string_view value) = 0;
  virtual void Delete(std::string_view key) = 0;
  // Everything in [begin, end).
  virtual void DeleteRange(std::string_view begin, std::string_view end) = 0;
};

struct IterateOptions {
  // Bounds [lower, upper); an empty upper means none.
  std::string lower;
  std::string upper;
  // Only version keys of one user key are sought, whose prefix is `lower`: lets the bloom filter
  // answer. Each key sought must be whole, with its timestamp.
  bool one_prefix = false;
  bool fill_cache = true;
};

// key() and value() are valid until the iterator moves.
class Iterator {
 public:
  virtual ~Iterator() = default;
  virtual bool Valid() const = 0;
  virtual void Seek(std::string_view key) = 0;         // first at or after
  virtual void SeekForPrev(std::string_view key) = 0;  // last at or before
  virtual void Next() = 0;
  virtual void Prev() = 0;
  virtual std::string_view key() const = 0;
  virtual std::string_view value() const = 0;
  // Not OK if the iteration ended because something could not be read.
  virtual absl::Status status() const = 0;
};

// A readable state. A view lives no longer than its engine.
class View {
 public:
  virtual ~View() = default;
  virtual std::unique_ptr<Iterator> NewIterator(const IterateOptions& options) const = 0;
  virtual absl::StatusOr<std::optional<std::string>> Get(std::string_view key) const = 0;
};

// Sorted pairs on their way into the engine, to replace all there is in a range: beside it until
// ingested, on disk as they come. Destroying it drops them.
class Staging {
 public:
  virtual ~Staging() = default;
  // Requires: the key lies in the range. INVALID_ARGUMENT if it is not above the one before. After
  // a failure it can only be dropped.
  virtual absl::Status Put(std::string_view key, std::string_view value) = 0;
};

class Engine : public View {
 public:
  virtual std::unique_ptr<WriteBatch> NewBatch() = 0;
  // Whether a write would have to wait for a flush now; then a loop leaves it for later.
  virtual bool WouldStall() { return false; }
  // Atomic, not durable. The batch is used up.
  virtual absl::Status Write(WriteBatch& batch) = 0;
  // The state as it is now, frozen.
  virtual std::unique_ptr<View> Snapshot() = 0;
  // What Get would give after a crash right now. Thread-safe.
  virtual absl::StatusOr<std::optional<std::string>> GetPersisted(std::string_view key) const = 0;
  // Makes everything written so far durable.
  virtual absl::Status Flush() = 0;
  // For everything in [begin, end).
  virtual absl::StatusOr<std::unique_ptr<Staging>> NewStaging(std::string_view begin,
                                                              std::string_view end) = 0;
  // Replaces everything in the range by the staged pairs, durably. A failure or a crash leaves what
  // was there, all of it or nothing, and nothing of the pairs. There may be no pairs. Views of
  // before lose the range, but not the iterators on them.
  virtual absl::Status Ingest(std::unique_ptr<Staging> staging) = 0;
  // Bytes on disk, about.
  virtual uint64_t DiskBytes() const = 0;
  // What lies in [begin, end) takes, on disk and in memory, about.
  virtual uint64_t ApproximateBytes(std::string_view begin, std::string_view end) const = 0;
};

}  // namespace kvd::storage
