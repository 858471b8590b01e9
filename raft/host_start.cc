// The host's beginnings of a group: a new one, or one that its log and its state tell of. The two
// are not written together (design: two instances, no atomicity between them), and either may be
// damaged.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "proto/check.h"
#include "raft/host_group.h"

namespace kvd::raft {
namespace {

bool IsDamaged(const EntryPtr& entry) { return entry->type == EntryType::kDamaged; }

// Whether the log at its own place for the state's position says the same as the state, or can't
// tell.
bool Agree(const GroupLog& log, const SnapshotMeta& applied) {
  if (applied.index == log.start.index) return applied.term == log.start.term;
  if (applied.index > log.start.index + log.entries.size()) return false;
  const EntryPtr& entry = log.entries[applied.index - log.start.index - 1];
  return entry->term == applied.term || (IsDamaged(entry) && !entry->term);
}

// The process ended between installing a snapshot and resetting the log: what the log holds is of
// another history.
LogWrite BeginBehindState(GroupLog& log, const SnapshotMeta& applied) {
  log.start = applied;
  log.entries.clear();
  log.suspects.clear();
  log.hard_state.commit = applied.index;
  if (applied.term > log.hard_state.term)
    log.hard_state = {applied.term, ReplicaId(), applied.index};
  LogWrite write;
  write.group = log.group;
  write.replica = log.replica;
  write.reset = applied;
  write.hard_state = log.hard_state;
  return write;
}

// What is damaged and long applied is not needed: the log begins behind the state from now on.
LogWrite ForgetWhatIsApplied(GroupLog& log, const SnapshotMeta& applied) {
  auto count = static_cast<ptrdiff_t>(applied.index - log.start.index);
  log.entries.erase(log.entries.begin(), log.entries.begin() + count);
  std::erase_if(log.suspects, [&](const Suspect& s) { return s.entry->index <= applied.index; });
  log.start = applied;
  LogWrite write;
  write.group = log.group;
  write.truncate = applied;
  return write;
}

// A replica that needs others to mend it must have others.
absl::Status CheckNotAlone(const Core& core, const SnapshotMeta& applied) {
  const Configuration& configuration = core.configuration();
  if (!configuration.IsVoter(core.id()) || configuration.voters.size() != 1)
    return absl::OkStatus();
  if (core.NeedsRepair()) {
    return absl::DataLossError(absl::StrCat("the Raft log's entry ",
                                            core.damaged().rbegin()->value(),
                                            " is damaged, which may have been "
                                            "acknowledged, and there is no other replica to repair "
                                            "it from; restore the data directory from a backup"));
  }
  if (!core.NeedsState()) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(
      "the state ends at index ", applied.index.value(), " but the log begins behind ",
      core.log().start().value(),
      ", and no other replica has what lies between; restore the data directory from a backup"));
}

}  // namespace

void Host::CreateGroup(GroupId group, ReplicaId replica, const Configuration& configuration,
                       Task done) {
  LogWrite write;
  write.group = group;
  write.replica = replica;
  write.reset = SnapshotMeta{Index(), Term(), configuration};
  write.hard_state = HardState();
  InFlightWrite flight;
  flight.then.push_back(std::move(done));
  std::vector<LogWrite> writes;
  writes.push_back(std::move(write));
  SubmitWrite(std::move(writes), std::move(flight));
}

absl::Status Host::StartGroup(GroupLog log, StateMachine* state_machine) {
  KVD_CHECK(!groups_.contains(log.group));
  if (state_machine->replica() != log.replica) {
    absl::Status wiped = state_machine->Wipe(log.replica);
    if (!wiped.ok()) return wiped;
  }
  SnapshotMeta applied = state_machine->applied();
  // A state in which no change of members was ever applied names none: the log's beginning does.
  if (applied.configuration.voters.empty()) applied.configuration = log.start.configuration;
  bool behind = applied.index < log.start.index;
  bool damaged = std::any_of(log.entries.begin(), log.entries.end(), IsDamaged);
  std::vector<LogWrite> writes;
  if (!behind && !Agree(log, applied)) {
    writes.push_back(BeginBehindState(log, applied));
  } else if (!behind && damaged) {
    writes.push_back(ForgetWhatIsApplied(log, applied));
  }
  if (!writes.empty()) SubmitWrite(std::move(writes), {});
  auto group = std::make_unique<Group>();
  group->id = log.group;
  group->log_store = log_store_;
  group->state_machine = state_machine;
  group->tombstone_written = log.removed;
  group->log_size.Begin(log.start.index);
  group->log_end_at_start = log.start.index + log.entries.size();
  for (const EntryPtr& entry : log.entries) group->log_size.Add(entry->index, entry->Bytes());
  if (damaged)
    counters_.entries_damaged +=
        static_cast<uint64_t>(std::count_if(log.entries.begin(), log.entries.end(), IsDamaged));
  InitialState initial;
  initial.hard_state = log.hard_state;
  initial.start = log.start;
  initial.entries = std::move(log.entries);
  initial.suspects = std::move(log.suspects);
  initial.applied = applied.index;
  initial.restarted = log.hard_state.term > Term();
  group->core = std::make_unique<Core>(log.replica, options_.core, std::move(initial), group.get(),
                                       loop_->Now(), loop_->random().Next());
  absl::Status alone = CheckNotAlone(*group->core, applied);
  if (!alone.ok()) return alone;
  state_machine->OnStart(
      group->core->ConfigurationAt(std::max(applied.index, group->core->log().start())));
  if (!log.removed) Schedule(*group);
  groups_.emplace(log.group, std::move(group));
  return absl::OkStatus();
}

}  // namespace kvd::raft
