#include "shardctrler/change_log.h"

#include <algorithm>

namespace kvd::shardctrler {

void ChangeLog::Restart(Timestamp at) {
  changes_.clear();
  from_ = upto_ = at;
}

void ChangeLog::Note(Timestamp at, std::string key) {
  changes_.push_back({at, std::move(key)});
  upto_ = at;
  if (changes_.size() <= kChangesMax) return;
  from_ = changes_.front().at;
  // Others of the same time would be half of what happened then.
  while (!changes_.empty() && changes_.front().at <= from_) changes_.pop_front();
}

std::optional<std::set<std::string>> ChangeLog::Since(Timestamp after) const {
  if (after < from_ || after > upto_) return std::nullopt;
  auto first = std::upper_bound(changes_.begin(), changes_.end(), after,
                                [](Timestamp t, const Change& c) { return t < c.at; });
  std::set<std::string> keys;
  for (auto it = first; it != changes_.end(); ++it) keys.insert(it->key);
  return keys;
}

}  // namespace kvd::shardctrler
