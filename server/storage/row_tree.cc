#include "server/storage/row_tree.h"

#include <algorithm>
#include <new>
#include <thread>

#include "server/storage/row_tree_node.h"

namespace kvd::storage {

using rocksdb::Slice;

RowTree::RowTree(const Compare& compare, std::function<char*(size_t)> allocate)
    : compare_(compare), allocate_(std::move(allocate)) {
  first_leaf_ = new (allocate_(sizeof(Node))) Node(false);
  root_.store(first_leaf_);
}

// How many rows of the node are less than the target.
uint32_t RowTree::CountLess(const Node& node, const Target& target) const {
  uint32_t count = node.count.Get();
  uint32_t prefix_bytes = std::min(node.prefix_bytes.Get(), kPrefixBytes);
  int order = target.OrderBeside(node, prefix_bytes);
  if (order != 0) return order < 0 ? 0 : count;
  uint64_t digest = Digest(target.user_key(), prefix_bytes);
  uint32_t low = 0;
  for (uint32_t end = count; low < end;) {
    uint32_t middle = (low + end) / 2;
    if (node.digests[middle].Get() < digest) {
      low = middle + 1;
    } else {
      end = middle;
    }
  }
  uint32_t end = low;
  while (end < count && node.digests[end].Get() == digest) ++end;
  while (low < end) {
    uint32_t middle = (low + end) / 2;
    Row row = node.rows[middle].Get();
    if (row != nullptr && compare_(row, target.key()) < 0) {
      low = middle + 1;
    } else {
      end = middle;
    }
  }
  return low;
}

// The leaf where the last row below the target is, or the first leaf. Null: the tree changed
// meanwhile.
const RowTree::Node* RowTree::LeafBefore(const Target& target) const {
  const Node* node = root_.load(std::memory_order_acquire);
  while (node != nullptr && node->is_inner) {
    uint32_t less = std::max(CountLess(*node, target), 1U);
    node = static_cast<const Inner*>(node)->children[less - 1].Get();
  }
  return node;
}

template <typename Read>
auto RowTree::Consistent(Read read) const {
  while (true) {
    uint64_t version = version_.load(std::memory_order_acquire);
    if (version % 2 == 0) {
      auto found = read(version);
      if (version_.load(std::memory_order_acquire) == version) return found;
    }
    std::this_thread::yield();
  }
}

// What is in this slot; behind the last one, what the next leaf begins with.
RowTree::Position RowTree::At(const Node* leaf, uint32_t slot, uint64_t version) const {
  if (leaf != nullptr && slot >= leaf->count.Get()) {
    leaf = leaf->next.Get();
    slot = 0;
  }
  if (leaf == nullptr || leaf->count.Get() == 0) return Position{nullptr, nullptr, 0, version};
  // Most of what an iteration costs is the wait for rows from memory: the next one is on its way
  // already.
  if (slot + 1 < kSlots) __builtin_prefetch(leaf->rows[slot + 1].Get());
  return Position{leaf->rows[slot].Get(), leaf, slot, version};
}

RowTree::Position RowTree::NotLessNow(const Target& target, uint64_t version) const {
  const Node* leaf = LeafBefore(target);
  return leaf == nullptr ? Position() : At(leaf, CountLess(*leaf, target), version);
}

RowTree::Position RowTree::LessNow(const Target& target, uint64_t version) const {
  const Node* leaf = LeafBefore(target);
  uint32_t less = leaf == nullptr ? 0 : CountLess(*leaf, target);
  return less == 0 ? Position() : At(leaf, less - 1, version);
}

double RowTree::RankNow(const Target& target) const {
  const Node* node = root_.load(std::memory_order_acquire);
  double before = 0, part = 1;
  while (node != nullptr && node->count.Get() > 0) {
    uint32_t count = node->count.Get(), less = CountLess(*node, target);
    if (!node->is_inner) return before + part * less / count;
    less = std::max(less, 1U);
    before += part * (less - 1) / count;
    part /= count;
    node = static_cast<const Inner*>(node)->children[less - 1].Get();
  }
  return before;
}

double RowTree::RankOf(const Slice& key) const {
  Target target(key);
  return Consistent([&](uint64_t) { return RankNow(target); });
}

RowTree::Position RowTree::NotLess(const Slice& key) const {
  Target target(key);
  return Consistent([&](uint64_t version) { return NotLessNow(target, version); });
}

RowTree::Position RowTree::Less(const Slice& key) const {
  Target target(key);
  return Consistent([&](uint64_t version) { return LessNow(target, version); });
}

RowTree::Position RowTree::First() const {
  return Consistent([&](uint64_t version) { return At(first_leaf_, 0, version); });
}

RowTree::Position RowTree::Last() const {
  return Consistent([&](uint64_t version) {
    const Node* node = root_.load(std::memory_order_acquire);
    while (node != nullptr && node->is_inner && node->count.Get() > 0) {
      node = static_cast<const Inner*>(node)->children[node->count.Get() - 1].Get();
    }
    uint32_t count = node == nullptr || node->is_inner ? 0 : node->count.Get();
    return count == 0 ? Position() : At(node, count - 1, version);
  });
}

// As of the position's version, if that is still the tree's; no row: look for it.
RowTree::Position RowTree::Beside(const Position& position, uint32_t slot) const {
  if (version_.load(std::memory_order_acquire) != position.version) return Position();
  Position found = At(position.leaf, slot, position.version);
  return version_.load(std::memory_order_acquire) == position.version ? found : Position();
}

RowTree::Position RowTree::Next(const Position& position) const {
  Position beside = Beside(position, position.slot + 1);
  if (beside.row != nullptr) return beside;
  Target target(KeyOf(position.row));
  return Consistent([&](uint64_t version) {
    Position here = NotLessNow(target, version);  // the row itself
    return here.leaf == nullptr ? here : At(here.leaf, here.slot + 1, version);
  });
}

RowTree::Position RowTree::Previous(const Position& position) const {
  Position beside = position.slot == 0 ? Position() : Beside(position, position.slot - 1);
  if (beside.row != nullptr) return beside;
  Target target(KeyOf(position.row));
  return Consistent([&](uint64_t version) { return LessNow(target, version); });
}

}  // namespace kvd::storage
