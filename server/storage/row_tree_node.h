// What a row tree is made of, for its search and its insertion.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>

#include "server/storage/row_tree.h"

namespace kvd::storage {

// RocksDB's sequence number and type.
inline constexpr size_t kFooterBytes = 8;

inline rocksdb::Slice UserKey(const rocksdb::Slice& internal_key) {
  return {internal_key.data(), internal_key.size() - kFooterBytes};
}

// The 8 bytes of the key from `at` on, zeroes behind its end, as a number of the same order.
inline uint64_t Digest(const rocksdb::Slice& user_key, size_t at) {
  uint64_t bytes = 0;
  if (at < user_key.size())
    std::memcpy(&bytes, user_key.data() + at, std::min<size_t>(8, user_key.size() - at));
  return __builtin_bswap64(bytes);
}

inline uint32_t SharedBytes(const rocksdb::Slice& a, const rocksdb::Slice& b, uint32_t most) {
  uint32_t end = std::min({static_cast<uint32_t>(a.size()), static_cast<uint32_t>(b.size()), most});
  uint32_t shared = 0;
  while (shared < end && a[shared] == b[shared]) ++shared;
  return shared;
}

// Readers load what the writer stores: acquire and release keep both in order with the version, and
// cost nothing where loads and stores are ordered anyway.
template <typename T>
class Shared {
 public:
  T Get() const { return value_.load(std::memory_order_acquire); }
  void Set(T value) { value_.store(value, std::memory_order_release); }

 private:
  std::atomic<T> value_{};
};

struct RowTree::Node {
  explicit Node(bool inner) : is_inner(inner) {}
  const bool is_inner;
  Shared<uint32_t> count;
  Shared<uint32_t> prefix_bytes;
  Shared<Node*> next;  // of a leaf
  std::array<Shared<uint64_t>, kPrefixBytes / 8> prefix;
  std::array<Shared<uint64_t>, kSlots> digests;
  std::array<Shared<Row>, kSlots> rows;
};

struct RowTree::Inner : Node {
  Inner() : Node(true) {}
  std::array<Shared<Node*>, kSlots> children;
};

// A key that is looked for.
class RowTree::Target {
 public:
  explicit Target(const rocksdb::Slice& key) : key_(key), user_key_(UserKey(key)) {}
  const rocksdb::Slice& key() const { return key_; }
  const rocksdb::Slice& user_key() const { return user_key_; }

  // Its order beside the prefix of a node: less or greater than all keys there, or one of them (0).
  int OrderBeside(const Node& node, uint32_t prefix_bytes) const {
    std::array<uint64_t, kPrefixBytes / 8> prefix;
    for (size_t i = 0; i * 8 < prefix_bytes; ++i) prefix[i] = node.prefix[i].Get();
    size_t shared = std::min<size_t>(prefix_bytes, user_key_.size());
    int order = std::memcmp(user_key_.data(), prefix.data(), shared);
    return order != 0 || shared == prefix_bytes ? order : -1;
  }

 private:
  const rocksdb::Slice key_;
  const rocksdb::Slice user_key_;
};

}  // namespace kvd::storage
