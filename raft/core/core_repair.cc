// Protocol-aware recovery of a damaged log (Alagappan et al., "Protocol-Aware Recovery for
// Consensus-Based Storage", FAST 2018). An entry that this replica acknowledged may be committed:
// it is never dropped on suspicion. Index and term name an entry (log matching), so any replica
// that has a readable copy can give it, leader or not. Only if the leader of the own term lacks it
// is it known to be uncommitted: then the leader's log replaces the doubtful part, all at once.
#include <algorithm>

#include "proto/check.h"
#include "raft/core/core.h"

namespace kvd::raft {

void Core::TakeDamage(const InitialState& initial) {
  for (const EntryPtr& entry : initial.entries) {
    if (entry->type == EntryType::kDamaged) damaged_.insert(entry->index);
  }
  for (const Suspect& suspect : initial.suspects) {
    if (damaged_.contains(suspect.entry->index)) suspects_[suspect.entry->index] = suspect;
  }
  if (NeedsRepair()) KVD_CHECK(log_.TermAt(*damaged_.rbegin()).has_value());
}

void Core::AskForRepair(ReplicaId to) {
  Message m = Envelope(MessageType::kRepair, to);
  m.index = *damaged_.rbegin();
  m.log_term = *log_.TermAt(m.index);
  m.hint_index = log_.start() + replacement_.size();
  Send(std::move(m));
}

// One after the other, and the leader, if one is known, every second time.
void Core::AskNextForRepair() {
  next_repair_ = now_ + options_.heartbeat_interval;
  ++repair_turn_;
  if (leader_ && repair_turn_ % 2 == 0) return AskForRepair(leader_);
  std::set<ReplicaId> others = acquaintances_;
  for (const Member& m : configuration().Members()) others.insert(m.replica);
  others.erase(id_);
  if (others.empty()) return;
  AskForRepair(
      *std::next(others.begin(), static_cast<ptrdiff_t>(repair_turn_ / 2 % others.size())));
}

// The entry that `term` and `index` name, if this replica can read it; `previous` gets the term
// before it. A suspect of that term is that entry, whatever has become of its place since.
EntryPtr Core::CopyOf(Index index, Term term, Term* previous) const {
  if (!damaged_.contains(index)) {
    if (!log_.Matches(index, term) || !log_.TermAt(index - 1).has_value()) return nullptr;
    *previous = *log_.TermAt(index - 1);
    auto entries = log_.Slice(index, index + 1, 0);
    return entries.empty() ? nullptr : entries[0];
  }
  auto it = suspects_.find(index);
  if (it == suspects_.end() || it->second.entry->term != term) return nullptr;
  *previous = it->second.previous;
  return it->second.entry;
}

void Core::HandleRepair(const Message& m) {
  Message reply = Envelope(MessageType::kRepairReply, m.from);
  reply.hint_index = m.index;
  reply.hint_term = m.log_term;
  reply.commit = log_.last_index();
  Term previous;
  auto known = log_.TermAt(m.index);
  bool may_have = m.index <= log_.last_index() && (!known || *known == m.log_term);
  if (m.index > log_.start() && CopyOf(m.index, m.log_term, &previous) != nullptr) {
    reply.repair = RepairAnswer::kHas;
    FillReply(m, &reply);
  } else if (m.index <= log_.start() || (may_have && m.index <= applied_)) {
    reply.repair = RepairAnswer::kCompacted;
    // What is applied is committed: without a leader anybody may give it.
    if (!InLeaderLease() && !NeedsState()) output_.snapshots.push_back({m.from});
  } else if (may_have) {
    reply.repair = RepairAnswer::kDamaged;
  } else {
    reply.repair = RepairAnswer::kLacks;
    if (IsLeader()) FillReplacement(m, &reply);
  }
  Send(std::move(reply));
}

// Each may have to be looked up on the disk, on the loop.
constexpr size_t kRepairEntriesMax = 256;

// The entry that is asked for and those before it, as far as they fit and the asker is in doubt.
void Core::FillReply(const Message& m, Message* reply) const {
  size_t bytes = 0;
  Index index = m.index;
  Term term = m.log_term;
  Term previous;
  do {
    EntryPtr entry = CopyOf(index, term, &previous);
    if (entry == nullptr) break;
    bytes += entry->Bytes();
    if (!reply->entries.empty() && bytes > options_.append_bytes_max) break;
    reply->entries.push_back(std::move(entry));
    index = index - 1;
    term = previous;
  } while (index > std::max(m.hint_index, log_.start()) &&
           reply->entries.size() < kRepairEntriesMax);
  std::reverse(reply->entries.begin(), reply->entries.end());
  reply->index = index;
  reply->log_term = term;
}

// What the leader has instead, from where the asker's log is in doubt; by snapshot if it can't.
void Core::FillReplacement(const Message& m, Message* reply) const {
  if (m.hint_index > log_.last_index()) return;
  if (m.hint_index < log_.start() || !log_.TermAt(m.hint_index)) {
    reply->repair = RepairAnswer::kCompacted;
    return;
  }
  reply->index = m.hint_index;
  reply->log_term = *log_.TermAt(m.hint_index);
  reply->entries = log_.Slice(m.hint_index + 1, log_.last_index() + 1, options_.append_bytes_max);
  bool unreadable = reply->entries.empty() && m.hint_index < log_.last_index();
  if (unreadable) reply->repair = RepairAnswer::kCompacted;
}

void Core::HandleRepairReply(const Message& m) {
  if (!NeedsRepair()) return;
  Index wanted = *damaged_.rbegin();
  if (m.hint_index != wanted || !log_.Matches(wanted, m.hint_term)) return;  // repaired meanwhile
  repair_answers_[m.from] = m.repair;
  switch (m.repair) {
    case RepairAnswer::kHas: return Fill(m);
    case RepairAnswer::kLacks: return CollectReplacement(m);
    case RepairAnswer::kCompacted: repair_by_snapshot_ = true; return;
    case RepairAnswer::kDamaged:
    case RepairAnswer::kNone: return;
  }
}

// Puts an entry that is known to be the right one at its place.
void Core::Mend(EntryPtr entry) {
  damaged_.erase(entry->index);
  suspects_.erase(entry->index);
  log_.Replace(std::move(entry));
}

void Core::Fill(const Message& m) {
  if (m.entries.empty() || m.entries.back()->index != m.hint_index ||
      m.entries.back()->term != m.hint_term) {
    return;
  }
  if (m.index == log_.start() && m.log_term != log_.start_term()) {
    // The log is not what led to the state, which came by a snapshot: another one replaces both.
    repair_by_snapshot_ = true;
    return;
  }
  // From the end on: what was verified names what comes before it.
  for (size_t i = m.entries.size(); i-- > 0 && damaged_.contains(m.entries[i]->index);) {
    output_.repaired.push_back({m.entries[i], i == 0 ? m.log_term : m.entries[i - 1]->term});
    Mend(m.entries[i]);
  }
  Index below = m.index;
  Term term = m.log_term;
  while (damaged_.contains(below)) {
    auto suspect = suspects_.find(below);
    if (suspect == suspects_.end() || suspect->second.entry->term != term) break;
    term = suspect->second.previous;
    Mend(EntryPtr(suspect->second.entry));
    below = below - 1;
  }
  if (damaged_.contains(below)) {
    auto place = std::make_shared<Entry>();
    place->index = below;
    place->term = term;
    place->type = EntryType::kDamaged;
    log_.Replace(std::move(place));
  }
  OnMended();
  if (NeedsRepair()) AskForRepair(m.from);
}

// What the others said was of an entry that is there now.
void Core::OnMended() {
  repair_answers_.clear();
  repair_by_snapshot_ = false;
  replacement_.clear();
  if (NeedsRepair()) return;
  acquaintances_.clear();
  RebuildConfigurations();
}

void Core::RebuildConfigurations() {
  configurations_.resize(1);
  for (Index next = log_.first_index(); next <= log_.last_index();) {
    auto entries = log_.Slice(next, log_.last_index() + 1, ~size_t{0});
    KVD_CHECK(!entries.empty());
    for (const EntryPtr& entry : entries) {
      if (entry->type != EntryType::kConfiguration) continue;
      Configuration configuration;
      KVD_CHECK(Configuration::Decode(entry->data, &configuration));
      configurations_.push_back({entry->index, std::move(configuration)});
    }
    next = entries.back()->index + 1;
  }
}

// The leader of the own term lacks the entry: everything that was ever committed is in the leader's
// log, and what this replica acknowledged in this term is there too. It is taken over whole.
void Core::CollectReplacement(const Message& m) {
  if (m.from != leader_ || m.term != term() || m.entries.empty()) return;
  if (replacement_term_ != term() || replacement_.empty()) {
    replacement_.clear();
    replacement_term_ = term();
    replacement_end_ = m.commit;
  }
  Index next = log_.start() + replacement_.size();
  Term before = replacement_.empty() ? log_.start_term() : replacement_.back()->term;
  if (m.index != next || m.log_term != before) return;
  replacement_.insert(replacement_.end(), m.entries.begin(), m.entries.end());
  if (replacement_.back()->index >= replacement_end_) return ReplaceLog();
  AskForRepair(m.from);
}

void Core::ReplaceLog() {
  log_.TruncateFrom(log_.first_index());
  output_.entries.clear();
  output_.repaired.clear();
  for (const EntryPtr& entry : replacement_) {
    log_.Append(entry);
    output_.entries.push_back(entry);
  }
  KVD_CHECK(log_.last_index() >= commit_index());
  damaged_.clear();
  suspects_.clear();
  OnMended();
}

std::optional<Index> Core::Unrepairable() const {
  // One that was never told who the members are waits for a leader.
  if (!NeedsRepair() || configuration().voters.empty()) return std::nullopt;
  auto answer = [&](ReplicaId id) {
    auto it = repair_answers_.find(id);
    return it == repair_answers_.end() ? RepairAnswer::kNone : it->second;
  };
  bool all_answered = true;
  for (const Member& m : configuration().Members()) {
    if (m.replica == id_ || !configuration().IsVoter(m.replica)) continue;
    RepairAnswer a = answer(m.replica);
    all_answered = all_answered && (a == RepairAnswer::kLacks || a == RepairAnswer::kDamaged);
  }
  // Those who can't read it may have been a quorum, and those who lack it can't elect a leader.
  bool maybe_committed = QuorumValue(configuration(), [&](ReplicaId id) {
    return id == id_ || answer(id) == RepairAnswer::kDamaged;
  });
  bool leaderless = !QuorumValue(configuration(), [&](ReplicaId id) {
    return id != id_ && answer(id) == RepairAnswer::kLacks;
  });
  if (!all_answered || !(maybe_committed || leaderless)) return std::nullopt;
  return *damaged_.rbegin();
}

}  // namespace kvd::raft
