// The tree of tree_memtable.h, which has the whole of it: nodes, search, insertion.
#pragma once

#include <rocksdb/memtablerep.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>

namespace kvd::storage {

class RowTree {
 public:
  // A row as the memtable holds it: length and internal key, then length and value.
  using Row = const char*;
  using Compare = rocksdb::MemTableRep::KeyComparator;

  // Where a row stands, as of a version of the tree.
  struct Position;

  // `allocate` gives bytes that live as long as the tree, aligned to 8.
  RowTree(const Compare& compare, std::function<char*(size_t)> allocate);

  // Requires: no other call of it at the same time.
  void Insert(Row row);

  // Each finds a row and where it stands: the first that is not less than the key, the last that is
  // less, the first of all, the last of all. Null: there is none. Thread-safe.
  Position NotLess(const rocksdb::Slice& key) const;
  Position Less(const rocksdb::Slice& key) const;
  Position First() const;
  Position Last() const;
  // The part of all rows that is less than the key, 0 to 1, about: as if the nodes of a level had
  // as many rows each.
  double RankOf(const rocksdb::Slice& key) const;
  // About, while rows are inserted.
  uint64_t rows() const { return rows_.load(std::memory_order_relaxed); }
  // The row behind, or before, this one. Requires: position.row is not null.
  Position Next(const Position& position) const;
  Position Previous(const Position& position) const;

  rocksdb::Slice KeyOf(Row row) const { return compare_.decode_key(row); }
  int Order(Row row, const rocksdb::Slice& key) const { return compare_(row, key); }

 private:
  static constexpr uint32_t kSlots = 64;
  static constexpr uint32_t kPrefixBytes = 48;

  struct Node;
  struct Inner;
  class Target;

  template <typename Read>
  auto Consistent(Read read) const;
  uint32_t CountLess(const Node& node, const Target& target) const;
  const Node* LeafBefore(const Target& target) const;
  Position At(const Node* leaf, uint32_t slot, uint64_t version) const;
  Position Beside(const Position& position, uint32_t slot) const;
  Position NotLessNow(const Target& target, uint64_t version) const;
  Position LessNow(const Target& target, uint64_t version) const;
  double RankNow(const Target& target) const;

  template <typename N>
  N* New();
  void Place(Node& node, uint32_t slot, Row row, Node* child);
  void SetPrefix(Node& node, uint32_t bytes);
  void FitPrefix(Node& node, const rocksdb::Slice& user_key);
  void SetLeast(Inner& inner, Row row);
  void Split(Inner& parent, uint32_t slot, const Target& target);
  void GrowRoot();

  const Compare& compare_;
  const std::function<char*(size_t)> allocate_;
  std::atomic<uint64_t> version_ = 0;  // odd: a change is under way
  std::atomic<Node*> root_;
  std::atomic<uint64_t> rows_ = 0;
  Node* first_leaf_;  // splits leave it where it is
};

struct RowTree::Position {
  Row row = nullptr;
  const Node* leaf = nullptr;
  uint32_t slot = 0;
  uint64_t version = 0;
};

}  // namespace kvd::storage
