#include "server/shard/shard_load.h"

#include <algorithm>

namespace kvd::shard {
namespace {

constexpr size_t kSamplesMax = 128;
constexpr size_t kSamplesMin = 32;  // fewer tell nothing
constexpr double kSamplesASecond = 25;
constexpr uint32_t kRipeRolls = 3;
constexpr double kKept = 0.8;  // of the rate before, each second
constexpr uint64_t kWrittenMin = 1 << 20;
constexpr Duration kMeasuredFor = std::chrono::seconds(60);

}  // namespace

void ShardLoad::Note(ShardId shard, std::string_view key, size_t bytes, bool write) {
  Entry& entry = shards_[shard];
  ++(write ? entry.writes : entry.reads);
  entry.written += bytes;
  if (entry.until_sample > 1) {
    --entry.until_sample;
    return;
  }
  // At random, about every so many times: a pattern in time must not hide keys.
  entry.until_sample = 1 + random_.Below(2 * entry.sample_each - 1);
  if (entry.samples.size() < kSamplesMax) {
    entry.samples.emplace_back(key);
    return;
  }
  // What was sampled longest ago goes.
  entry.samples[entry.next_sample] = key;
  entry.next_sample = (entry.next_sample + 1) % kSamplesMax;
}

void ShardLoad::Roll(MonotonicTime now) {
  double seconds = std::chrono::duration<double>(now - rolled_at_).count();
  bool first = rolled_at_ == kLongAgo;
  rolled_at_ = now;
  if (first || seconds <= 0) return;
  for (auto& [id, entry] : shards_) {
    double kept = entry.rolls == 0 ? 0 : kKept;
    entry.read_rate =
        kept * entry.read_rate + (1 - kept) * static_cast<double>(entry.reads) / seconds;
    entry.write_rate =
        kept * entry.write_rate + (1 - kept) * static_cast<double>(entry.writes) / seconds;
    // Who is asked no more keeps no samples.
    if (entry.reads + entry.writes == 0) entry.samples.clear();
    entry.sample_each = static_cast<uint64_t>(
        std::max(1.0, (entry.read_rate + entry.write_rate) / kSamplesASecond));
    entry.reads = entry.writes = 0;
    ++entry.rolls;
  }
}

void ShardLoad::NoteBytes(ShardId shard, uint64_t bytes, MonotonicTime now) {
  Entry& entry = shards_[shard];
  entry.bytes = bytes;
  entry.written = 0;
  entry.measured_at = now;
}

bool ShardLoad::NeedsMeasuring(ShardId shard, MonotonicTime now) const {
  auto it = shards_.find(shard);
  if (it == shards_.end() || it->second.measured_at == kLongAgo) return true;
  const Entry& entry = it->second;
  return entry.written > std::max(kWrittenMin, entry.bytes / 8) ||
         (entry.written > 0 && now - entry.measured_at > kMeasuredFor);
}

bool ShardLoad::Ripe(ShardId shard) const {
  auto it = shards_.find(shard);
  return it != shards_.end() && it->second.rolls >= kRipeRolls;
}

ShardStats ShardLoad::Stats(ShardId shard) const {
  ShardStats stats;
  auto it = shards_.find(shard);
  if (it == shards_.end()) return stats;
  const Entry& entry = it->second;
  stats.bytes = entry.bytes + entry.written;
  stats.measured = entry.measured_at != kLongAgo;
  stats.reads = entry.read_rate;
  stats.writes = entry.write_rate;
  return stats;
}

LoadSplit ShardLoad::Split(ShardId shard) const {
  auto it = shards_.find(shard);
  return it == shards_.end() ? LoadSplit() : SplitByLoad(it->second.samples);
}

LoadSplit SplitByLoad(std::vector<std::string> samples) {
  LoadSplit out;
  if (samples.size() < kSamplesMin) return out;
  std::sort(samples.begin(), samples.end());
  size_t all = samples.size();
  size_t best = 0;  // how many lie on the smaller side
  for (size_t begin = 0; begin < all;) {
    size_t end = begin;
    while (end < all && samples[end] == samples[begin]) ++end;
    size_t smaller = std::min(begin, all - begin);
    if (smaller > best) {
      best = smaller;
      out.key = samples[begin];
    }
    if ((end - begin) * 2 > all) {
      out.hot_key = samples[begin];
      out.hot_percent = static_cast<uint32_t>((end - begin) * 100 / all);
    }
    begin = end;
  }
  if (best * 5 < all) out.key.clear();
  // Whichever half it falls into would be as loaded as the whole.
  if (!out.hot_key.empty()) out.key.clear();
  return out;
}

}  // namespace kvd::shard
