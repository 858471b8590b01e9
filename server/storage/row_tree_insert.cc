// Insertion, by the one writer.
#include <algorithm>
#include <new>
#include <type_traits>

#include "proto/check.h"
#include "server/storage/row_tree.h"
#include "server/storage/row_tree_node.h"

namespace kvd::storage {

using rocksdb::Slice;

template <typename N>
N* RowTree::New() {
  char* bytes = allocate_(sizeof(N));
  if constexpr (std::is_same_v<N, Inner>) {
    return new (bytes) Inner;
  } else {
    return new (bytes) Node(false);
  }
}

// Requires: the node has room, and the row its prefix.
void RowTree::Place(Node& node, uint32_t slot, Row row, Node* child) {
  uint32_t count = node.count.Get();
  KVD_CHECK(count < kSlots && slot <= count);
  auto* inner = node.is_inner ? static_cast<Inner*>(&node) : nullptr;
  for (uint32_t i = count; i > slot; --i) {
    node.digests[i].Set(node.digests[i - 1].Get());
    node.rows[i].Set(node.rows[i - 1].Get());
    if (inner != nullptr) inner->children[i].Set(inner->children[i - 1].Get());
  }
  node.digests[slot].Set(Digest(UserKey(KeyOf(row)), node.prefix_bytes.Get()));
  node.rows[slot].Set(row);
  if (inner != nullptr) inner->children[slot].Set(child);
  node.count.Set(count + 1);
}

// Requires: all of the node's keys begin with so many bytes of the first one's.
void RowTree::SetPrefix(Node& node, uint32_t bytes) {
  std::array<char, kPrefixBytes> prefix = {};
  std::memcpy(prefix.data(), UserKey(KeyOf(node.rows[0].Get())).data(), bytes);
  for (size_t i = 0; i < node.prefix.size(); ++i) {
    uint64_t word;
    std::memcpy(&word, prefix.data() + 8 * i, 8);
    node.prefix[i].Set(word);
  }
  node.prefix_bytes.Set(bytes);
  for (uint32_t i = 0; i < node.count.Get(); ++i) {
    node.digests[i].Set(Digest(UserKey(KeyOf(node.rows[i].Get())), bytes));
  }
}

// Shortens the prefix to what the key has of it.
void RowTree::FitPrefix(Node& node, const Slice& user_key) {
  if (node.count.Get() == 0) return;
  uint32_t bytes = node.prefix_bytes.Get();
  uint32_t shared = SharedBytes(UserKey(KeyOf(node.rows[0].Get())), user_key, bytes);
  if (shared < bytes) SetPrefix(node, shared);
}

// Requires: the row is less than all others.
void RowTree::SetLeast(Inner& inner, Row row) {
  FitPrefix(inner, UserKey(KeyOf(row)));
  inner.digests[0].Set(Digest(UserKey(KeyOf(row)), inner.prefix_bytes.Get()));
  inner.rows[0].Set(row);
}

// Halves the child in this slot; one that grows at its end is left full. Requires: the parent has
// room.
void RowTree::Split(Inner& parent, uint32_t slot, const Target& target) {
  Node& left = *parent.children[slot].Get();
  uint32_t count = left.count.Get();
  bool grows = !left.next.Get() && compare_(left.rows[count - 1].Get(), target.key()) < 0;
  uint32_t keep = grows ? count - 1 : count / 2;
  Node& right = left.is_inner ? *static_cast<Node*>(New<Inner>()) : *New<Node>();
  for (uint32_t i = keep; i < count; ++i) {
    right.rows[i - keep].Set(left.rows[i].Get());
    if (!left.is_inner) continue;
    static_cast<Inner&>(right).children[i - keep].Set(static_cast<Inner&>(left).children[i].Get());
  }
  right.count.Set(count - keep);
  left.count.Set(keep);
  if (!left.is_inner) {
    right.next.Set(left.next.Get());
    left.next.Set(&right);
  }
  for (Node* half : {&left, &right}) {
    Slice first = UserKey(KeyOf(half->rows[0].Get()));
    Slice last = UserKey(KeyOf(half->rows[half->count.Get() - 1].Get()));
    SetPrefix(*half, SharedBytes(first, last, kPrefixBytes));
  }
  Row least = right.rows[0].Get();
  FitPrefix(parent, UserKey(KeyOf(least)));
  Place(parent, slot + 1, least, &right);
}

void RowTree::GrowRoot() {
  Node* old = root_.load(std::memory_order_relaxed);
  auto* root = New<Inner>();
  root->rows[0].Set(old->rows[0].Get());
  root->children[0].Set(old);
  root->count.Set(1);
  auto bytes = static_cast<uint32_t>(UserKey(KeyOf(old->rows[0].Get())).size());
  SetPrefix(*root, std::min(bytes, kPrefixBytes));
  root_.store(root, std::memory_order_release);
}

void RowTree::Insert(Row row) {
  Target target(KeyOf(row));
  uint64_t version = version_.load(std::memory_order_relaxed);
  version_.store(version + 1, std::memory_order_release);
  if (root_.load(std::memory_order_relaxed)->count.Get() == kSlots) GrowRoot();
  Node* node = root_.load(std::memory_order_relaxed);
  while (node->is_inner) {
    auto& inner = static_cast<Inner&>(*node);
    uint32_t less = CountLess(inner, target);
    if (less == 0) SetLeast(inner, row);
    uint32_t slot = std::max(less, 1U) - 1;
    if (inner.children[slot].Get()->count.Get() == kSlots) {
      Split(inner, slot, target);
      if (compare_(inner.rows[slot + 1].Get(), target.key()) < 0) ++slot;
    }
    node = inner.children[slot].Get();
  }
  FitPrefix(*node, target.user_key());
  Place(*node, CountLess(*node, target), row, nullptr);
  version_.store(version + 2, std::memory_order_release);
  rows_.store(rows_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

}  // namespace kvd::storage
