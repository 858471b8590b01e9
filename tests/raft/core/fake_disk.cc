#include "tests/raft/core/fake_disk.h"

#include "proto/check.h"
#include "raft/log_recovery.h"

namespace kvd::raft {

std::vector<EntryPtr> FakeDisk::Read(Index from, Index end, size_t bytes_max) const {
  std::vector<EntryPtr> out;
  size_t bytes = 0;
  for (auto it = entries.find(from); it != entries.end() && it->first < end; ++it) {
    bytes += it->second->Bytes();
    if (damaged.contains(it->first) || (!out.empty() && bytes > bytes_max)) break;
    out.push_back(it->second);
  }
  return out;
}

bool FakeDisk::Gives(Index index, Term term) const {
  auto it = entries.find(index);
  return it != entries.end() && !damaged.contains(index) && it->second->term == term;
}

void FakeDisk::Write(const Output& output) {
  if (output.hard_state) hard_state = *output.hard_state;
  if (!output.entries.empty()) {
    Index from = output.entries.front()->index;
    entries.erase(entries.lower_bound(from), entries.end());
    damaged.erase(damaged.lower_bound(from), damaged.end());
  }
  for (const EntryPtr& entry : output.entries) entries[entry->index] = entry;
  for (const Suspect& repair : output.repaired) {
    if (repair.entry->index <= start.index) continue;  // compacted while it was on its way
    entries[repair.entry->index] = repair.entry;
    damaged.erase(repair.entry->index);
  }
}

void FakeDisk::Compact(Index index) {
  if (index <= start.index) return;
  start.term = entries.at(index)->term;
  start.index = index;
  entries.erase(entries.begin(), entries.upper_bound(index));
  damaged.erase(damaged.begin(), damaged.upper_bound(index));
}

void FakeDisk::Reset(const SnapshotMeta& meta) {
  entries.clear();
  damaged.clear();
  start = meta;
}

InitialState FakeDisk::Load(Index applied, const Configuration& configuration) {
  if (!damaged.empty() && applied > start.index) {
    Compact(applied);
    start.configuration = configuration;
  }
  FoundLog found;
  GroupRecord record;
  record.replica = ReplicaId(1);
  record.start = start;
  record.hard_state = hard_state;
  record.last = start.index;
  record.last_term = start.term;
  for (const auto& [index, entry] : entries) {
    if (!damaged.contains(index)) found.entries[index] = {entry, record.last_term};
    record.last = index;
    record.last_term = entry->term;
  }
  auto log = VerifyLog(GroupId(1), record, found);
  KVD_CHECK_MSG(log.ok(), log.status().ToString());
  InitialState initial;
  initial.hard_state = hard_state;
  initial.start = start;
  initial.entries = log->entries;
  initial.suspects = log->suspects;
  return initial;
}

}  // namespace kvd::raft
