#include "tests/sim/sim_log_store.h"

namespace kvd::sim {

const raft::EntryPtr* LogDisk::Group::Find(Index index) const {
  auto it = entries.find(index);
  return it == entries.end() || damaged.contains(index) ? nullptr : &it->second.entry;
}

void LogDisk::Apply(const raft::LogWrite& w) {
  Group& group = groups[w.group];
  raft::GroupRecord& record = group.record;
  auto erase = [&](Index from, Index end) {
    group.entries.erase(group.entries.lower_bound(from), group.entries.lower_bound(end));
    group.damaged.erase(group.damaged.lower_bound(from), group.damaged.lower_bound(end));
  };
  constexpr Index kEnd(~uint64_t{0});
  if (w.reset) {
    erase(Index(), kEnd);
    record.replica = w.replica;
    record.removed = false;
    record.start = *w.reset;
    record.last = w.reset->index;
    record.last_term = w.reset->term;
  }
  if (w.hard_state) record.hard_state = *w.hard_state;
  if (!w.entries.empty()) {
    erase(w.entries.front()->index, kEnd);
    Term previous = w.previous;
    for (const raft::EntryPtr& entry : w.entries) {
      group.entries[entry->index] = {entry, previous};
      previous = entry->term;
    }
    record.last = w.entries.back()->index;
    record.last_term = previous;
  }
  for (const raft::Suspect& repair : w.repairs) {
    group.entries[repair.entry->index] = repair;
    group.damaged.erase(repair.entry->index);
  }
  if (w.truncate) {
    record.start = *w.truncate;
    erase(Index(), w.truncate->index + 1);
  }
  if (w.removed) record.removed = true;
}

absl::StatusOr<std::vector<raft::GroupLog>> SimLogStore::Load() {
  std::vector<raft::GroupLog> logs;
  for (const auto& [id, group] : disk_->groups) {
    raft::FoundLog found;
    found.entries = group.entries;
    for (Index damaged : group.damaged) found.entries.erase(damaged);
    auto log = raft::VerifyLog(id, group.record, found);
    if (!log.ok()) return log.status();
    logs.push_back(*std::move(log));
  }
  return logs;
}

void SimLogStore::Write(Loop*, std::vector<raft::LogWrite> writes, Task done) {
  pending_.push_back({std::move(writes), std::move(done)});
  if (pending_.size() == 1) Start();
}

// Takes no time, since time stands still during an event.
bool SimLogStore::TryWriteNow(const std::vector<raft::LogWrite>& writes) {
  if (!pending_.empty() || !loop_->random().Chance(0.5)) return false;
  if (faults_.sync_min > DiskFaults().sync_max) return false;  // a slow disk is never that quick
  for (const raft::LogWrite& write : writes) disk_->Apply(write);
  return true;
}

void SimLogStore::Start() {
  auto& random = loop_->random();
  Duration took = faults_.sync_min +
                  Duration(static_cast<int64_t>(random.Below(
                      static_cast<uint64_t>((faults_.sync_max - faults_.sync_min).count()) + 1)));
  if (random.Chance(faults_.slow_chance)) took = milliseconds(random.Between(50, 1000));
  took += disk_->slowed;
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
  for (Index i = from; i < end; i = i + 1) {
    const raft::EntryPtr* entry = found->second.Find(i);
    if (entry == nullptr) break;
    bytes += (*entry)->Bytes();
    if (!out.empty() && bytes > bytes_max) break;
    out.push_back(*entry);
  }
  return out;
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
