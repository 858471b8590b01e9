// Which records have changed lately, so that whoever knew an earlier state is told only what is
// new. In memory, bounded: who has missed more than that is told everything. Pure.
#pragma once

#include <deque>
#include <optional>
#include <set>
#include <string>

#include "proto/timestamp.h"

namespace kvd::shardctrler {

class ChangeLog {
 public:
  static constexpr size_t kChangesMax = 100'000;

  // Nothing before `at` is known.
  void Restart(Timestamp at);
  // A record changed. Requires: `at` does not fall.
  void Note(Timestamp at, std::string key);
  // All that happened up to here is known.
  void Reach(Timestamp at) { upto_ = at; }
  Timestamp upto() const { return upto_; }

  // Keys of the records that changed after `after`. Nothing if that can't be told any more.
  std::optional<std::set<std::string>> Since(Timestamp after) const;

 private:
  struct Change {
    Timestamp at;
    std::string key;
  };
  std::deque<Change> changes_;
  Timestamp from_;  // what changed up to here is not in the log
  Timestamp upto_;
};

}  // namespace kvd::shardctrler
