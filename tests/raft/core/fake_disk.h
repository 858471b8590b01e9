// One replica's disk for its log: what was written, all of it durable, some of it perhaps damaged.
#pragma once

#include <map>
#include <set>

#include "raft/core/core.h"

namespace kvd::raft {

class FakeDisk : public LogReader {
 public:
  std::vector<EntryPtr> Read(Index from, Index end, size_t bytes_max) const override;
  void Write(const Output& output);
  void Compact(Index index);
  void Reset(const SnapshotMeta& meta);
  // What a replica that starts finds, with `applied` in its state; what is damaged and applied is
  // forgotten, as a host does. `configuration` is the one at the applied position.
  InitialState Load(Index applied, const Configuration& configuration);
  // Whether the entry can be had from here.
  bool Gives(Index index, Term term) const;

  HardState hard_state;
  SnapshotMeta start;
  std::map<Index, EntryPtr> entries;
  std::set<Index> damaged;
};

}  // namespace kvd::raft
