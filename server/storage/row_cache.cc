#include "server/storage/row_cache.h"

#include <algorithm>
#include <iterator>

#include "absl/hash/hash.h"
#include "proto/bytes.h"

namespace kvd::storage {
namespace {

// What the allocator hands out: a word of its own, in steps of 16 bytes.
constexpr size_t Allocated(size_t bytes) { return (bytes + 8 + 15) / 16 * 16; }

// Beside the string object itself, which holds up to 15 bytes.
size_t AllocatedBy(const std::string& s) {
  return s.capacity() < 16 ? 0 : Allocated(s.capacity() + 1);
}

}  // namespace

size_t RowCache::Hash::operator()(std::string_view key) const {
  // Salted: clients choose the keys.
  return absl::HashOf(ToAbsl(key));
}

size_t RowCache::Cost(const Row& row) {
  constexpr size_t kNode = Allocated(2 * sizeof(void*) + sizeof(Row));
  return kNode + AllocatedBy(row.key) + AllocatedBy(row.bytes);
}

const RowCache::Row* RowCache::Find(std::string_view key, Timestamp at) {
  if (bytes_max_ == 0) return nullptr;
  auto found = index_.find(key);
  if (found == index_.end() || (*found)->timestamp > at) {
    ++misses_;
    return nullptr;
  }
  ++hits_;
  rows_.splice(rows_.begin(), rows_, *found);
  return &rows_.front();
}

void RowCache::Insert(std::string_view key, Timestamp timestamp, std::string_view version) {
  if (auto found = index_.find(key); found != index_.end()) Erase(*found);
  // Before a value of megabytes is copied for nothing.
  if (bytes_max_ == 0 || version.size() > row_bytes_max_) return;
  Row row{std::string(key), timestamp, std::string(version)};
  if (Cost(row) > row_bytes_max_ || !MakeRoom(Cost(row))) return;
  row_bytes_ += Cost(row);
  rows_.push_front(std::move(row));
  index_.insert(rows_.begin());
  rows_most_ = std::max(rows_most_, rows_.size());
}

void RowCache::Replace(std::string_view key, Timestamp timestamp, std::string_view version) {
  if (rows_.empty()) return;
  auto found = index_.find(key);
  if (found == index_.end()) return;
  // Where it stands in the order stays: only being read keeps a row.
  Row& row = **found;
  row_bytes_ -= Cost(row);
  row.timestamp = timestamp;
  row.bytes = std::string(version);
  row_bytes_ += Cost(row);
  if (Cost(row) > row_bytes_max_) return Erase(*found);
  while (bytes() > bytes_max_) Erase(std::prev(rows_.end()));
}

void RowCache::Clear() {
  if (rows_most_ == 0) return;
  index_ = {};
  rows_.clear();
  row_bytes_ = 0;
  rows_most_ = 0;
}

void RowCache::Resize(size_t bytes_max) {
  // What its index has once needed counts: smaller, it begins anew.
  if (bytes_max < bytes_max_ && bytes() > bytes_max) Clear();
  bytes_max_ = bytes_max;
}

void RowCache::Erase(Position row) {
  index_.erase(row);
  row_bytes_ -= Cost(*row);
  rows_.erase(row);
}

bool RowCache::MakeRoom(size_t row_bytes) {
  auto fits = [&] {
    size_t rows = std::max(rows_most_, rows_.size() + 1);
    return row_bytes_ + row_bytes + kIndexBytes * rows <= bytes_max_;
  };
  while (!rows_.empty() && !fits()) Erase(std::prev(rows_.end()));
  return fits();
}

}  // namespace kvd::storage
