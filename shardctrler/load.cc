#include "shardctrler/load.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_format.h"

namespace kvd::shardctrler {
namespace {

// A store is slow if it takes so many times what the others take, and at least so long.
constexpr double kSlowFactor = 4;
constexpr double kSlowSyncMs = 30;
constexpr double kSlowRoundTripMs = 50;
// For so many reports, and no more once it was not for so many.
constexpr int kBadReports = 4;
constexpr int kGoodReports = 10;

double Median(std::vector<double> values) {
  if (values.empty()) return 0;
  auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

bool IsSlowBeside(double own, const std::vector<double>& others, double least) {
  return !others.empty() && own > std::max(least, kSlowFactor * Median(others));
}

}  // namespace

void ClusterLoad::Count(const ShardReport& report, int sign) {
  for (Amounts* amounts : {&groups_[report.group], &total_}) {
    amounts->bytes += sign > 0 ? report.bytes : -report.bytes;
    // Sums of differences drift.
    amounts->load = std::max(0.0, amounts->load + sign * report.load());
  }
}

void ClusterLoad::Note(ShardId id, ShardReport report) {
  auto [it, is_new] = shards_.try_emplace(id);
  // What was said of an earlier version of it came late.
  if (!is_new && report.epoch < it->second.epoch) return;
  if (!is_new) Count(it->second, -1);
  it->second = std::move(report);
  Count(it->second, +1);
  if (it->second.split_key.empty()) {
    splittable_.erase(id);
  } else {
    splittable_.insert(id);
  }
}

const ShardReport* ClusterLoad::Find(ShardId id) const {
  auto it = shards_.find(id);
  return it == shards_.end() ? nullptr : &it->second;
}

Amounts ClusterLoad::Of(GroupId group) const {
  auto it = groups_.find(group);
  return it == groups_.end() ? Amounts() : it->second;
}

void ClusterLoad::Follow(const State& state) {
  // Now and then: what came late of a shard that is no more.
  constexpr uint32_t kSweepEach = 256;
  if (++follows_ % kSweepEach == 0) {
    std::vector<ShardId> gone;
    for (const auto& [id, report] : shards_) {
      if (state.shards().Find(id) == state.shards().end()) gone.push_back(id);
    }
    for (ShardId id : gone) {
      Count(shards_.at(id), -1);
      shards_.erase(id);
      splittable_.erase(id);
    }
  }
  for (const auto& [id, o] : state.operations()) {
    if (o.kind == OperationKind::kMerge && o.phase == Phase::kDone) {
      auto it = shards_.find(o.other);
      if (it == shards_.end() || state.shards().Find(o.other) != state.shards().end()) continue;
      // What it had is the left one's, until that is measured.
      ShardReport right = it->second;
      Count(right, -1);
      shards_.erase(it);
      splittable_.erase(o.other);
      auto left = shards_.find(o.shard);
      if (left == shards_.end() || left->second.epoch > o.epoch) continue;
      Count(left->second, -1);
      left->second.bytes += right.bytes;
      left->second.reads += right.reads;
      left->second.writes += right.writes;
      Count(left->second, +1);
    } else if (o.kind == OperationKind::kMove && o.phase >= Phase::kPublished) {
      auto it = shards_.find(o.shard);
      if (it == shards_.end() || it->second.group != o.group) continue;
      auto shard = state.shards().Find(o.shard);
      if (shard == state.shards().end() || shard->second.group != o.to) continue;
      Count(it->second, -1);
      it->second.group = o.to;
      Count(it->second, +1);
    }
  }
}

void ClusterLoad::NoteLeads(StoreId store, const std::set<GroupId>& groups) {
  std::erase_if(leaders_, [&](const auto& item) {
    return item.second == store && !groups.contains(item.first);
  });
  for (GroupId id : groups) leaders_[id] = store;
}

StoreId ClusterLoad::LeaderOf(GroupId group) const {
  auto it = leaders_.find(group);
  return it == leaders_.end() ? StoreId() : it->second;
}

const StoreReport* ClusterLoad::Find(StoreId id) const {
  auto it = stores_.find(id);
  return it == stores_.end() ? nullptr : &it->second.report;
}

// Why the store is slow beside the others, as they all last told.
std::string ClusterLoad::Judge(StoreId id) const {
  const StoreReport& own = stores_.at(id).report;
  std::vector<double> syncs, to_it, to_others;
  // What is quick by itself is compared with nobody.
  if (own.syncs > 0 && own.sync_ms > kSlowSyncMs) {
    for (const auto& [other, entry] : stores_) {
      if (other != id && entry.report.syncs > 0) syncs.push_back(entry.report.sync_ms);
    }
    if (IsSlowBeside(own.sync_ms, syncs, kSlowSyncMs)) {
      return absl::StrFormat("its log's syncs take %.0f ms, those of others %.0f ms", own.sync_ms,
                             Median(syncs));
    }
  }
  for (const auto& [other, entry] : stores_) {
    auto way = entry.report.round_trip_ms.find(id);
    if (other != id && way != entry.report.round_trip_ms.end()) to_it.push_back(way->second);
  }
  if (Median(to_it) <= kSlowRoundTripMs) return "";
  for (const auto& [other, entry] : stores_) {
    if (other == id) continue;
    for (const auto& [peer, ms] : entry.report.round_trip_ms) {
      if (peer != id) to_others.push_back(ms);
    }
  }
  if (IsSlowBeside(Median(to_it), to_others, kSlowRoundTripMs)) {
    return absl::StrFormat("a round trip to it takes %.0f ms, to others %.0f ms", Median(to_it),
                           Median(to_others));
  }
  return "";
}

void ClusterLoad::Note(StoreId id, const StoreReport& report) {
  StoreEntry& entry = stores_[id];
  double last_sync_ms = entry.report.sync_ms;
  entry.report = report;
  // While nothing is written, what it took last stands; nobody is judged by it.
  if (report.syncs == 0) entry.report.sync_ms = last_sync_ms;
  std::string why = Judge(id);
  entry.bad = why.empty() ? 0 : entry.bad + 1;
  entry.good = why.empty() ? entry.good + 1 : 0;
  if (entry.bad >= kBadReports) entry.slow = true;
  if (entry.good >= kGoodReports) entry.slow = false;
  if (!why.empty()) entry.why = std::move(why);
}

bool ClusterLoad::IsSlow(StoreId id) const {
  auto it = stores_.find(id);
  return it != stores_.end() && it->second.slow;
}

std::string ClusterLoad::WhySlow(StoreId id) const { return IsSlow(id) ? stores_.at(id).why : ""; }

void ClusterLoad::Forget(StoreId id) {
  NoteLeads(id, {});
  stores_.erase(id);
}

}  // namespace kvd::shardctrler
