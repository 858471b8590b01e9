#include "server/storage/middle.h"

#include <algorithm>

namespace kvd::storage {
namespace {

// The bytes at `at` and behind as a number; what is not there counts as 0.
uint64_t NumberAt(std::string_view key, size_t at) {
  uint64_t n = 0;
  for (size_t i = 0; i < 7; ++i)
    n = n << 8 | (at + i < key.size() ? static_cast<uint8_t>(key[at + i]) : 0);
  return n;
}

// About half way between two keys, low < high.
std::string Between(const std::string& low, const std::string& high) {
  size_t common = 0;
  while (common < low.size() && common < high.size() && low[common] == high[common]) ++common;
  uint64_t a = NumberAt(low, common);
  uint64_t b = NumberAt(high, common);
  uint64_t middle = a + (b - a) / 2;
  std::string out = low.substr(0, common);
  if (common > low.size()) out.resize(common, '\0');
  for (int i = 6; i >= 0; --i) out.push_back(static_cast<char>(middle >> (8 * i) & 0xff));
  return out;
}

}  // namespace

absl::StatusOr<std::string> MiddleKey(const Engine& engine, const std::string& lower,
                                      const std::string& upper) {
  IterateOptions options;
  options.lower = lower;
  options.upper = upper;
  options.fill_cache = false;
  auto it = engine.NewIterator(options);
  it->Seek(lower);
  if (!it->Valid()) return it->status().ok() ? absl::StatusOr<std::string>("") : it->status();
  std::string first(it->key());
  it->SeekForPrev(upper);
  if (!it->Valid()) return it->status().ok() ? absl::StatusOr<std::string>("") : it->status();
  std::string low = first;
  std::string high(it->key());
  uint64_t half = engine.ApproximateBytes(lower, upper) / 2;
  if (half == 0) return "";
  // Each step halves what lies between, in keys if not in bytes.
  constexpr int kStepsMax = 64;
  for (int step = 0; step < kStepsMax && low < high; ++step) {
    std::string middle = Between(low, high);
    if (middle <= low || middle >= high) break;
    uint64_t before = engine.ApproximateBytes(lower, middle);
    if (before > half - half / 8 && before < half + half / 8) {
      low = middle;
      break;
    }
    (before < half ? low : high) = middle;
  }
  it->Seek(low);
  if (it->Valid() && it->key() > first) return std::string(it->key());
  return it->status().ok() ? absl::StatusOr<std::string>("") : it->status();
}

}  // namespace kvd::storage
