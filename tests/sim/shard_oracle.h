// What the logs of all groups say of shards, whoever has applied it: each entry counts when it is
// applied for the first time anywhere, since from then on it is committed. Checks that all replicas
// of a group apply the same, and that no key is served by two groups (design, 7).
#pragma once

#include <map>
#include <string>

#include "raft/core/types.h"
#include "server/shard/command.h"
#include "server/shard/shard_table.h"

namespace kvd::sim {

class ShardOracle {
 public:
  void Applied(GroupId group, const raft::Entry& entry, const shard::CommandResult& result);

  // By group, as of the last entry that anybody has applied.
  const std::map<GroupId, shard::ShardTable>& tables() const { return tables_; }
  // Fails the process if two groups serve the same keys.
  void Check();
  // Versions that writes were given: the value of each key at a time. Empty: deleted.
  using History = std::map<std::string, std::map<Timestamp, std::string>>;
  const History& history() const { return history_; }

 private:
  struct Seen {
    Index applied;
    std::map<Index, uint32_t> checksums;
  };
  std::map<GroupId, Seen> seen_;
  std::map<GroupId, shard::ShardTable> tables_;
  History history_;
  bool changed_ = false;
};

}  // namespace kvd::sim
