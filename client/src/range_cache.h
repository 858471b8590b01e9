// Which group has which keys, and where it is led from, as far as a client was told: what is sent
// where. A hint: a store that is asked wrongly passes the request on, and its answer says who
// executed it, which drops what was wrong here. Pure; not thread-safe.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "kvd/v1/kv.pb.h"
#include "proto/ids.h"

namespace kvd::client {

class RangeCache {
 public:
  // Beyond it, all is forgotten and learnt anew.
  static constexpr size_t kRangesMax = 20'000;

  // 0: not known.
  GroupId GroupOf(std::string_view key) const;
  // Of the store believed to lead the group. Empty: not known.
  std::string LeaderOf(GroupId group) const;
  size_t size() const { return ranges_.size(); }

  // What lay there before is forgotten.
  void Take(const v1::LocateResponse& located);
  void NoteLeader(GroupId group, const std::string& address);
  void NoteNotLeader(GroupId group, const std::string& address) {
    if (LeaderOf(group) == address) leaders_.erase(group);
  }
  // It did not answer.
  void NoteLost(const std::string& address);
  // The key's range is not what was thought.
  void Forget(std::string_view key);

 private:
  struct Range {
    std::string end;  // empty: there is none
    GroupId group;
  };
  using Ranges = std::map<std::string, Range, std::less<>>;

  Ranges::const_iterator At(std::string_view key) const;
  // Drops all that overlap.
  void Clear(const std::string& start, const std::string& end);

  Ranges ranges_;  // by start; they do not overlap
  std::map<GroupId, std::string> leaders_;
};

}  // namespace kvd::client
