#include "mapreduce/dataflow/hyperloglog.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "mapreduce/dataflow/hash.h"
#include "proto/codec.h"

namespace kvd::mapreduce {
namespace {

// Bits of a hash behind the register's index; a rank is 1 to kHashBits + 1.
constexpr int kHashBits = 64 - HyperLogLog::kPrecision;
constexpr uint8_t kRankMax = kHashBits + 1;

// Ertl, "New cardinality estimation algorithms for HyperLogLog sketches", equations 20 and 21. Only
// +, * and square roots, which every machine rounds alike.
double Sigma(double x) {
  if (x == 1.0) return INFINITY;
  double y = 1;
  double z = x;
  for (double before = -1; z != before; y += y) {
    before = z;
    x *= x;
    z += x * y;
  }
  return z;
}

double Tau(double x) {
  if (x == 0.0 || x == 1.0) return 0;
  double y = 1;
  double z = 1 - x;
  for (double before = -1; z != before;) {
    before = z;
    x = std::sqrt(x);
    y *= 0.5;
    z -= (1 - x) * (1 - x) * y;
  }
  return z / 3;
}

}  // namespace

void HyperLogLog::Raise(uint32_t index, uint8_t rank) {
  if (dense_ != nullptr) {
    (*dense_)[index] = std::max((*dense_)[index], rank);
    return;
  }
  auto at = std::lower_bound(sparse_.begin(), sparse_.end(), index << 8);
  if (at != sparse_.end() && *at >> 8 == index) {
    *at = std::max(*at, index << 8 | rank);
    return;
  }
  sparse_.insert(at, index << 8 | rank);
  if (sparse_.size() <= kSparseMax) return;
  dense_ = std::make_unique<Dense>();
  dense_->fill(0);
  for (uint32_t entry : sparse_) (*dense_)[entry >> 8] = static_cast<uint8_t>(entry);
  sparse_ = {};
}

void HyperLogLog::Add(std::string_view value) {
  uint64_t hash = Hash64(value, kDistinctSeed);
  uint64_t rest = hash << kPrecision;
  int zeros = rest == 0 ? kHashBits : std::countl_zero(rest);
  Raise(static_cast<uint32_t>(hash >> kHashBits), static_cast<uint8_t>(zeros + 1));
}

// Sparse: the count of registers in use (at most kSparseMax), then of each the distance to the one
// before as a varint and its rank as a byte. Dense: a count above that, then every rank.
void HyperLogLog::Encode(std::string* out) const {
  Writer w(out);
  if (dense_ != nullptr) {
    w.Varint(kSparseMax + 1);
    w.Raw({reinterpret_cast<const char*>(dense_->data()), dense_->size()});
    return;
  }
  w.Varint(sparse_.size());
  uint32_t before = 0;
  for (uint32_t entry : sparse_) {
    w.Varint((entry >> 8) - before);
    w.Byte(static_cast<uint8_t>(entry));
    before = entry >> 8;
  }
}

bool HyperLogLog::Merge(std::string_view encoded) {
  Reader r(encoded);
  uint64_t count = r.Varint();
  std::vector<uint32_t> entries;
  if (count > kSparseMax + 1) return false;
  if (count == kSparseMax + 1) {
    std::string_view ranks = r.Raw(kRegisters);
    for (uint32_t i = 0; i < ranks.size(); ++i) {
      if (ranks[i] != 0) entries.push_back(i << 8 | static_cast<uint8_t>(ranks[i]));
    }
    // The sparse form would have been the one.
    if (entries.size() <= kSparseMax) return false;
  } else {
    uint64_t index = 0;
    for (uint64_t i = 0; i < count && r.ok(); ++i) {
      uint64_t distance = r.Varint();
      uint8_t rank = r.Byte();
      if (distance >= kRegisters || (i > 0 && distance == 0)) return false;
      index += distance;
      if (index >= kRegisters) return false;
      entries.push_back(static_cast<uint32_t>(index) << 8 | rank);
    }
  }
  bool ranks_fit = std::all_of(entries.begin(), entries.end(), [](uint32_t entry) {
    return (entry & 0xff) >= 1 && (entry & 0xff) <= kRankMax;
  });
  if (!r.Done() || !ranks_fit) return false;
  for (uint32_t entry : entries) Raise(entry >> 8, static_cast<uint8_t>(entry));
  return true;
}

uint64_t HyperLogLog::Estimate() const {
  std::array<uint32_t, kRankMax + 1> histogram{};
  if (dense_ != nullptr) {
    for (uint8_t rank : *dense_) ++histogram[rank];
  } else {
    for (uint32_t entry : sparse_) ++histogram[entry & 0xff];
    histogram[0] = kRegisters - static_cast<uint32_t>(sparse_.size());
  }
  constexpr double kCount = kRegisters;
  double z = kCount * Tau(1 - histogram[kRankMax] / kCount);
  for (int rank = kHashBits; rank >= 1; --rank) {
    z = 0.5 * (z + histogram[static_cast<size_t>(rank)]);
  }
  z += kCount * Sigma(histogram[0] / kCount);
  constexpr double kHalfPerLog2 = 0.72134752044448170368;
  return static_cast<uint64_t>(std::llround(kHalfPerLog2 * kCount * kCount / z));
}

size_t HyperLogLog::MemoryBytes() const {
  return sizeof(*this) + sparse_.capacity() * sizeof(uint32_t) + (dense_ ? sizeof(Dense) : 0);
}

}  // namespace kvd::mapreduce
