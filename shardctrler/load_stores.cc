// What stores say of themselves and of whom they lead.
#include <algorithm>
#include <vector>

#include "absl/strings/str_format.h"
#include "shardctrler/load.h"

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

void ClusterLoad::SetLeader(GroupId group, StoreId store) {
  StoreId& leader = leaders_[group];
  if (leader == store) return;
  CountLead(leader, -1);
  leader = store;
  CountLead(leader, +1);
  ++version_;
}

void ClusterLoad::CountLead(StoreId store, int more) {
  if (!store) return;
  size_t& count = leads_[store];
  count += static_cast<size_t>(more);
  if (count == 0) leads_.erase(store);
}

void ClusterLoad::NoteTransfer(GroupId group, StoreId to) { SetLeader(group, to); }

void ClusterLoad::NoteLeads(StoreId store, const std::set<GroupId>& groups) {
  for (GroupId id : groups) SetLeader(id, store);
  if (LeadsOf(store) == groups.size()) return;
  size_t left = std::erase_if(leaders_, [&](const auto& item) {
    return item.second == store && !groups.contains(item.first);
  });
  for (; left > 0; --left) CountLead(store, -1);
  ++version_;
}

size_t ClusterLoad::LeadsOf(StoreId store) const {
  auto it = leads_.find(store);
  return it == leads_.end() ? 0 : it->second;
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
  std::vector<double> syncs;
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
  return JudgeWay(id);
}

std::string ClusterLoad::JudgeWay(StoreId id) const {
  std::vector<double> to_it, to_others;
  auto ways = ways_.find(id);
  if (ways == ways_.end()) return "";
  for (const auto& [from, ms] : ways->second) to_it.push_back(ms);
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

void ClusterLoad::ForgetWays(StoreId from) {
  auto it = stores_.find(from);
  if (it == stores_.end()) return;
  for (const auto& [to, ms] : it->second.report.round_trip_ms) {
    auto ways = ways_.find(to);
    if (ways == ways_.end()) continue;
    ways->second.erase(from);
    if (ways->second.empty()) ways_.erase(ways);
  }
}

void ClusterLoad::Note(StoreId id, const StoreReport& report) {
  ForgetWays(id);
  for (const auto& [to, ms] : report.round_trip_ms) {
    if (to != id) ways_[to][id] = ms;
  }
  StoreEntry& entry = stores_[id];
  double last_sync_ms = entry.report.sync_ms;
  bool was_slow = entry.slow, was_low = entry.report.disk_low;
  entry.report = report;
  // While nothing is written, what it took last stands; nobody is judged by it.
  if (report.syncs == 0) entry.report.sync_ms = last_sync_ms;
  std::string why = Judge(id);
  entry.bad = why.empty() ? 0 : entry.bad + 1;
  entry.good = why.empty() ? entry.good + 1 : 0;
  if (entry.bad >= kBadReports) entry.slow = true;
  if (entry.good >= kGoodReports) entry.slow = false;
  if (!why.empty()) entry.why = std::move(why);
  if (entry.slow != was_slow || report.disk_low != was_low) ++version_;
}

bool ClusterLoad::IsSlow(StoreId id) const {
  auto it = stores_.find(id);
  return it != stores_.end() && it->second.slow;
}

std::string ClusterLoad::WhySlow(StoreId id) const { return IsSlow(id) ? stores_.at(id).why : ""; }

// A store that is down is forgotten again and again.
void ClusterLoad::Forget(StoreId id) {
  if (LeadsOf(id) > 0) NoteLeads(id, {});
  if (!stores_.contains(id)) return;
  ForgetWays(id);
  stores_.erase(id);
  ++version_;
}

}  // namespace kvd::shardctrler
