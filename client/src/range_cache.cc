#include "client/src/range_cache.h"

namespace kvd::client {

RangeCache::Ranges::const_iterator RangeCache::At(std::string_view key) const {
  auto it = ranges_.upper_bound(key);
  if (it == ranges_.begin()) return ranges_.end();
  --it;
  return it->second.end.empty() || key < it->second.end ? it : ranges_.end();
}

GroupId RangeCache::GroupOf(std::string_view key) const {
  auto it = At(key);
  return it == ranges_.end() ? GroupId() : it->second.group;
}

std::string RangeCache::LeaderOf(GroupId group) const {
  auto it = leaders_.find(group);
  return it == leaders_.end() ? "" : it->second;
}

void RangeCache::Clear(const std::string& start, const std::string& end) {
  if (auto before = At(start); before != ranges_.end()) ranges_.erase(before);
  auto from = ranges_.lower_bound(start);
  auto to = end.empty() ? ranges_.end() : ranges_.lower_bound(end);
  ranges_.erase(from, to);
}

void RangeCache::Take(const v1::LocateResponse& located) {
  if (ranges_.size() + static_cast<size_t>(located.shards_size()) > kRangesMax) ranges_.clear();
  for (const auto& shard : located.shards()) {
    bool malformed = !shard.end().empty() && shard.end() <= shard.start();
    if (malformed || shard.group_id() == 0) continue;
    GroupId group(shard.group_id());
    Clear(shard.start(), shard.end());
    ranges_[shard.start()] = {shard.end(), group};
    // Whoever answers may know less of a group's leader than its own answers tell.
    if (!shard.leader_address().empty()) leaders_.try_emplace(group, shard.leader_address());
  }
}

void RangeCache::NoteLeader(GroupId group, const std::string& address) {
  if (group && !address.empty()) leaders_[group] = address;
}

void RangeCache::NoteLost(const std::string& address) {
  std::erase_if(leaders_, [&](const auto& item) { return item.second == address; });
}

void RangeCache::Forget(std::string_view key) {
  if (auto it = At(key); it != ranges_.end()) ranges_.erase(it);
}

}  // namespace kvd::client
