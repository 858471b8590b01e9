// The newest versions of keys that were read lately, so that reading them again needs no engine.
// Bounded in bytes; whoever was read longest ago goes first. It knows nothing of what it stands
// for: that a row is its key's newest version is up to whoever fills it and tells it of writes.
//
// Lives on the group's loop. Deterministic.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_set.h"
#include "proto/timestamp.h"

namespace kvd::storage {

class RowCache {
 public:
  struct Row {
    std::string key;
    Timestamp timestamp;
    std::string bytes;  // an encoded version
  };

  // Holds at most so many bytes, what keeping them costs included; 0: nothing. A row that takes
  // more than `row_bytes_max` of them is not kept.
  RowCache(size_t bytes_max, size_t row_bytes_max)
      : bytes_max_(bytes_max), row_bytes_max_(row_bytes_max) {}

  // The key's row, if it is not newer than `at`; else null. Valid until the next call that is not
  // const. A row that is found is the last one to go.
  const Row* Find(std::string_view key, Timestamp at);

  // Takes in what a read found to be the key's newest version.
  void Insert(std::string_view key, Timestamp timestamp, std::string_view version);

  // A newer version is written: it takes the place of the key's row, if there is one.
  void Replace(std::string_view key, Timestamp timestamp, std::string_view version);

  void Clear();
  // From now on it holds at most so many.
  void Resize(size_t bytes_max);

  // Of memory, an upper bound.
  size_t bytes() const { return row_bytes_ + kIndexBytes * rows_most_; }
  // The last one read first.
  const std::list<Row>& rows() const { return rows_; }
  // Calls of Find that found a row, and that did not, while there is a cache at all.
  uint64_t hits() const { return hits_; }
  uint64_t misses() const { return misses_; }

 private:
  using Position = std::list<Row>::iterator;
  // By key; the index holds positions alone.
  // NOLINTBEGIN(readability-identifier-naming): what a container asks for, to look up by a view.
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view key) const;
    size_t operator()(Position row) const { return (*this)(row->key); }
  };
  struct Equal {
    using is_transparent = void;
    static std::string_view KeyOf(std::string_view key) { return key; }
    static std::string_view KeyOf(Position row) { return row->key; }
    template <class A, class B>
    bool operator()(const A& a, const B& b) const {
      return KeyOf(a) == KeyOf(b);
    }
  };
  // NOLINTEND(readability-identifier-naming)

  // Of the index, for each row there ever was at once: a slot of 8 bytes and one of control, in a
  // table that doubles from 25/32 full on and never shrinks. Counted so, not as it is, since how
  // soon it doubles depends on the hashes, which differ from process to process.
  static constexpr size_t kIndexBytes = 24;
  static size_t Cost(const Row& row);

  void Erase(Position row);
  // Whether one more row of so many bytes fits now.
  bool MakeRoom(size_t row_bytes);

  size_t bytes_max_;
  const size_t row_bytes_max_;
  std::list<Row> rows_;
  absl::flat_hash_set<Position, Hash, Equal> index_;
  size_t row_bytes_ = 0;  // sum of Cost
  size_t rows_most_ = 0;  // since it was empty and the index without memory
  uint64_t hits_ = 0;
  uint64_t misses_ = 0;
};

}  // namespace kvd::storage
