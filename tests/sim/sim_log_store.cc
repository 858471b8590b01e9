#include "tests/sim/sim_log_store.h"

namespace kvd::sim {

void LogDisk::Apply(const raft::LogWrite& w) {
  Group& group = groups[w.group];
  group.meta.group = w.group;
  if (w.reset) {
    group.meta.start = *w.reset;
    group.meta.replica = w.replica;
    group.meta.removed = false;
    group.entries.clear();
  }
  if (w.hard_state) group.meta.hard_state = *w.hard_state;
  if (!w.entries.empty()) {
    group.entries.erase(group.entries.lower_bound(w.entries.front()->index), group.entries.end());
    for (const raft::EntryPtr& entry : w.entries) group.entries[entry->index] = entry;
  }
  if (w.truncate) {
    group.meta.start = *w.truncate;
    group.entries.erase(group.entries.begin(), group.entries.upper_bound(w.truncate->index));
  }
  if (w.removed) group.meta.removed = true;
}

absl::StatusOr<std::vector<raft::GroupLog>> SimLogStore::Load() {
  std::vector<raft::GroupLog> logs;
  for (const auto& [id, group] : disk_->groups) {
    logs.push_back(group.meta);
    for (const auto& [index, entry] : group.entries) logs.back().entries.push_back(entry);
  }
  return logs;
}

void SimLogStore::Write(Loop*, std::vector<raft::LogWrite> writes, Task done) {
  pending_.push_back({std::move(writes), std::move(done)});
  if (pending_.size() == 1) Start();
}

void SimLogStore::Start() {
  auto& random = loop_->random();
  Duration took = faults_.sync_min + Duration(static_cast<int64_t>(random.Below(
                      static_cast<uint64_t>((faults_.sync_max - faults_.sync_min).count()) + 1)));
  if (random.Chance(faults_.slow_chance)) took = milliseconds(random.Between(50, 1000));
  timer_ = loop_->After(took, [this] {
    Pending done = std::move(pending_.front());
    pending_.pop_front();
    for (const raft::LogWrite& write : done.writes) disk_->Apply(write);
    auto finished = std::move(timer_);  // it is running
    if (!pending_.empty()) Start();
    done.done();
  });
}

std::vector<raft::EntryPtr> SimLogStore::Read(GroupId group, Index from, Index end,
                                              size_t bytes_max) const {
  std::vector<raft::EntryPtr> out;
  auto found = disk_->groups.find(group);
  if (found == disk_->groups.end()) return out;
  size_t bytes = 0;
  const auto& entries = found->second.entries;
  for (auto it = entries.find(from); it != entries.end() && it->first < end; ++it) {
    bytes += it->second->Bytes();
    if (!out.empty() && bytes > bytes_max) break;
    out.push_back(it->second);
  }
  return out;
}

std::optional<Term> SimLogStore::TermAt(GroupId group, Index index) const {
  auto found = disk_->groups.find(group);
  if (found == disk_->groups.end()) return std::nullopt;
  auto it = found->second.entries.find(index);
  if (it == found->second.entries.end()) return std::nullopt;
  return it->second->term;
}

void SimLogStore::Crash(Random& random) {
  timer_.reset();
  size_t survivors = pending_.empty() ? 0 : random.Below(pending_.size() + 1);
  for (size_t i = 0; i < survivors; ++i) {
    for (const raft::LogWrite& write : pending_[i].writes) disk_->Apply(write);
  }
  pending_.clear();
}

}  // namespace kvd::sim
