#include "shardctrler/sizing.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "proto/bytes.h"

namespace kvd::shardctrler {
namespace {

constexpr uint64_t kMiB = 1 << 20;
// For each group, so many shards should be there to move.
constexpr uint64_t kShardsPerGroup = 4;
// Two are merged if together they are below this part of what is split: else they would be again.
constexpr uint64_t kMergedPart = 4;

size_t DataGroups(const State& state) {
  size_t groups = 0;
  for (const auto& [id, group] : state.groups())
    groups += id != kControllerGroup && group.state == GroupState::kServing ? 1 : 0;
  return groups;
}

std::string Of(const ShardReport& report) {
  return absl::StrFormat("%.1f MB, %.0f operations/s", static_cast<double>(report.bytes) / 1e6,
                         report.load());
}

class Merging {
 public:
  Merging(const State& state, const View& view)
      : state_(state), load_(*view.load), limits_(LimitsFor(state, *view.load)) {}

  // Whether the two would be one shard that is far from being split.
  bool Fit(const Shard& left, const Shard& right) const {
    if (left.operation || right.operation || right.keep) return false;
    const ShardReport* a = load_.Find(left.id);
    const ShardReport* b = load_.Find(right.id);
    if (a == nullptr || b == nullptr) return false;
    if ((a->bytes + b->bytes) * kMergedPart > limits_.bytes) return false;
    return limits_.load == 0 || (a->load() + b->load()) * kMergedPart <= limits_.load;
  }

  Operation Merge(const Shard& left, const Shard& right) const {
    Operation o;
    o.kind = OperationKind::kMerge;
    o.shard = left.id;
    o.epoch = left.epoch;
    o.other = right.id;
    o.other_epoch = right.epoch;
    o.reason = absl::StrCat("small: ", Of(*load_.Find(left.id)), ", and ",
                            Of(*load_.Find(right.id)), " behind it");
    return o;
  }

  // The smaller one to the other.
  Operation Join(const Shard& left, const Shard& right) const {
    bool left_goes = load_.Find(left.id)->bytes < load_.Find(right.id)->bytes;
    const Shard& goes = left_goes ? left : right;
    const Shard& stays = left_goes ? right : left;
    Operation o;
    o.kind = OperationKind::kMove;
    o.shard = goes.id;
    o.epoch = goes.epoch;
    o.group = goes.group;
    o.to = stays.group;
    o.reason = absl::StrCat("small: to be merged with shard ", stays.id.value());
    return o;
  }

 private:
  const State& state_;
  const ClusterLoad& load_;
  const SizeLimits limits_;
};

}  // namespace

SizeLimits LimitsFor(const State& state, const ClusterLoad& load) {
  SizeLimits limits;
  limits.bytes = state.settings()[Setting::kShardMegabytesMax] * kMiB;
  uint64_t groups = DataGroups(state);
  if (groups < 2) return limits;
  limits.bytes = std::clamp(load.total().bytes / (kShardsPerGroup * groups), kMiB, limits.bytes);
  limits.load = static_cast<double>(state.settings()[Setting::kShardLoadMax]);
  return limits;
}

std::vector<Operation> SplitShards(const State& state, const ClusterLoad& load, size_t most) {
  std::vector<Operation> out;
  SizeLimits limits = LimitsFor(state, load);
  for (ShardId id : load.splittable()) {
    if (out.size() >= most) break;
    const ShardReport& report = *load.Find(id);
    auto shard = state.shards().Find(id);
    if (shard == state.shards().end() || shard->second.operation) continue;
    // It has changed since.
    if (report.epoch != shard->second.epoch) continue;
    if (report.split_key <= shard->first ||
        !state.shards().RangeOf(shard).Contains(report.split_key))
      continue;
    bool large = !report.by_load && report.bytes > limits.bytes;
    bool busy = report.by_load && limits.load > 0 && report.load() > limits.load;
    if (!large && !busy) continue;
    Operation o;
    o.kind = OperationKind::kSplit;
    o.shard = id;
    o.epoch = report.epoch;
    o.key = report.split_key;
    o.reason = large ? absl::StrFormat("size: %s, the limit is %.1f MB", Of(report),
                                       static_cast<double>(limits.bytes) / 1e6)
                     : absl::StrFormat("load: %s, the limit is %.0f operations/s", Of(report),
                                       limits.load);
    out.push_back(std::move(o));
  }
  return out;
}

std::vector<Operation> MergeShards(const State& state, const View& view, size_t most,
                                   size_t moves) {
  std::vector<Operation> out;
  const ShardMap& shards = state.shards();
  if (shards.size() <= kShardsPerGroup * std::max<size_t>(DataGroups(state), 1)) return out;
  // As many as are too many.
  most = std::min(most, shards.size() - kShardsPerGroup * std::max<size_t>(DataGroups(state), 1));
  Merging merging(state, view);
  auto left = shards.shards().lower_bound(view.merges_from);
  for (size_t i = 0; i < kMergesLookedAt && left != shards.end() && most > 0; ++i) {
    auto right = std::next(left);
    if (right == shards.end()) break;
    bool near = left->second.group == right->second.group;
    if (!merging.Fit(left->second, right->second) || (!near && moves == 0)) {
      left = right;
      continue;
    }
    out.push_back(near ? merging.Merge(left->second, right->second)
                       : merging.Join(left->second, right->second));
    --most;
    if (!near) --moves;
    left = std::next(right);
  }
  return out;
}

std::string NextMerges(const State& state, const std::string& from) {
  const auto& shards = state.shards().shards();
  if (shards.size() <= kMergesLookedAt) return "";
  auto it = shards.lower_bound(from);
  for (size_t i = 0; i < kMergesLookedAt && it != shards.end(); ++i) ++it;
  return it == shards.end() ? "" : it->first;
}

}  // namespace kvd::shardctrler
