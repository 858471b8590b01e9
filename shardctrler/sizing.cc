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

std::string Of(const ShardReport& report) {
  return absl::StrFormat("%.1f MB, %.0f operations/s", static_cast<double>(report.bytes) / 1e6,
                         report.load());
}

class Merging {
 public:
  Merging(const State& state, const View& view, size_t most, size_t moves)
      : state_(state),
        view_(view),
        limits_(LimitsFor(state, *view.load)),
        most_(most),
        moves_(moves) {}

  // Pairs of which one has moved so that they can be merged.
  void FinishJoins() {
    const ShardMap& shards = state_.shards();
    for (const auto& [id, o] : state_.operations()) {
      if (most_ == 0) return;
      if (o.kind != OperationKind::kMove || o.phase != Phase::kDone || !o.other) continue;
      auto moved = shards.Find(o.shard), other = shards.Find(o.other);
      if (moved == shards.end() || other == shards.end()) continue;
      bool before = std::next(moved) == other;
      if (!before && std::next(other) != moved) continue;
      const Shard& left = before ? moved->second : other->second;
      const Shard& right = before ? other->second : moved->second;
      if (left.group == right.group && Fits(left, right)) Merge(left, right);
    }
  }

  // Looks at pairs from `from` on.
  std::string Look(const std::string& from) {
    const ShardMap::Map& shards = state_.shards().shards();
    auto left = shards.lower_bound(from);
    auto next = shards.end();  // the first one to look at again
    for (size_t i = 0; i < kMergesLookedAt && left != shards.end() && most_ > 0; ++i) {
      auto right = std::next(left);
      if (right == shards.end()) {
        left = right;
        break;
      }
      bool fits = Fits(left->second, right->second);
      bool begun = fits && Begin(left->second, right->second);
      if (fits && !begun && next == shards.end()) next = left;
      left = begun ? std::next(right) : right;
    }
    if (next == shards.end()) next = left;
    return next == shards.end() ? "" : next->first;
  }

  std::vector<Operation> Take() { return std::move(operations_); }

 private:
  // Whether the two would be one shard that is far from being split, and nothing keeps them apart.
  bool Fits(const Shard& left, const Shard& right) const {
    if (left.operation || right.operation || right.keep) return false;
    if (taken_.contains(left.id) || taken_.contains(right.id)) return false;
    const ShardReport* a = view_.load->Find(left.id);
    const ShardReport* b = a == nullptr ? nullptr : view_.load->Find(right.id);
    if (b == nullptr) return false;
    if ((a->bytes + b->bytes) * kMergedPart > limits_.bytes) return false;
    if (limits_.load > 0 && (a->load() + b->load()) * kMergedPart > limits_.load) return false;
    return left.group == right.group || !Dwells(Goes(left, right).id);
  }
  bool Dwells(ShardId id) const { return view_.dwelling != nullptr && view_.dwelling->Has(id); }
  // The smaller one goes to the other.
  const Shard& Goes(const Shard& left, const Shard& right) const {
    return view_.load->Find(left.id)->bytes < view_.load->Find(right.id)->bytes ? left : right;
  }

  // False if no more may be begun.
  bool Begin(const Shard& left, const Shard& right) {
    bool near = left.group == right.group;
    if (most_ == 0 || (!near && moves_ == 0)) return false;
    near ? Merge(left, right) : Join(left, right);
    return true;
  }

  void Merge(const Shard& left, const Shard& right) {
    Operation o;
    o.kind = OperationKind::kMerge;
    o.shard = left.id;
    o.epoch = left.epoch;
    o.other = right.id;
    o.other_epoch = right.epoch;
    o.reason = absl::StrCat("small: ", Of(*view_.load->Find(left.id)), ", and ",
                            Of(*view_.load->Find(right.id)), " behind it");
    Add(std::move(o));
  }

  void Join(const Shard& left, const Shard& right) {
    const Shard& goes = Goes(left, right);
    const Shard& stays = goes.id == left.id ? right : left;
    Operation o;
    o.kind = OperationKind::kMove;
    o.shard = goes.id;
    o.epoch = goes.epoch;
    o.group = goes.group;
    o.to = stays.group;
    o.other = stays.id;
    o.reason = absl::StrCat("small: to be merged with shard ", stays.id.value());
    --moves_;
    Add(std::move(o));
  }

  void Add(Operation o) {
    taken_.insert(o.shard);
    taken_.insert(o.other);
    operations_.push_back(std::move(o));
    --most_;
  }

  const State& state_;
  const View& view_;
  const SizeLimits limits_;
  size_t most_;
  size_t moves_;
  std::set<ShardId> taken_;
  std::vector<Operation> operations_;
};

}  // namespace

SizeLimits LimitsFor(const State& state, const ClusterLoad& load) {
  SizeLimits limits;
  limits.bytes = state.settings()[Setting::kShardMegabytesMax] * kMiB;
  uint64_t groups = state.group_table().serving();
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

Merges MergeShards(const State& state, const View& view, size_t most, size_t moves) {
  size_t enough = kShardsPerGroup * std::max<size_t>(state.group_table().serving(), 1);
  if (state.shards().size() <= enough) return {{}, view.merges_from};
  // As many as are too many.
  Merging merging(state, view, std::min(most, state.shards().size() - enough), moves);
  merging.FinishJoins();
  std::string next = merging.Look(view.merges_from);
  return {merging.Take(), std::move(next)};
}

}  // namespace kvd::shardctrler
