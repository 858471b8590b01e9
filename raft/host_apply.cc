// The host's dealings with state machines: apply, answer, truncate.
#include "absl/strings/str_cat.h"
#include "proto/check.h"
#include "proto/error.h"
#include "proto/fault_point.h"
#include "raft/host_group.h"

namespace kvd::raft {

namespace {
// Of the log, while the disk has little room.
constexpr uint64_t kEntriesKeptWhenLow = 1000;
constexpr uint64_t kBytesKeptWhenLow = 2 << 20;
// How soon a state machine that took nothing is asked again.
constexpr Duration kStallLook = milliseconds(2);
}  // namespace

bool Host::CanApply(Group& group) {
  bool stalled = !group.state_machine->CanApply();
  if (stalled && !group.stalled) ++counters_.apply_stalls;
  group.stalled = stalled;
  if (stalled && group.stall_timer == nullptr) {
    group.stall_timer = loop_->After(kStallLook, [this, id = group.id] {
      Group* group = Find(id);
      if (group == nullptr) return;
      group->stall_timer.reset();
      Schedule(*group);
    });
  }
  return !stalled;
}

void Host::ApplyCommitted(Group& group, const std::vector<EntryPtr>& committed) {
  if (committed.empty() || group.halted) return;
  std::vector<ApplyItem> items;
  items.reserve(committed.size());
  std::vector<std::pair<std::unique_ptr<Proposal>, bool>> finished;  // with: applied
  for (const EntryPtr& entry : committed) {
    Proposal* mine = nullptr;
    while (!group.proposals.empty() && group.proposals.front().index <= entry->index) {
      Group::Pending pending = std::move(group.proposals.front());
      group.proposals.pop_front();
      --proposals_waiting_;
      bool applied = pending.index == entry->index && pending.term == entry->term;
      if (applied) mine = pending.proposal.get();
      finished.emplace_back(std::move(pending.proposal), applied);
    }
    items.push_back({entry.get(), mine});
  }
  KVD_FAULT_POINT(kBeforeApply);
  absl::Status status = group.state_machine->Apply(items);
  if (!status.ok()) {
    for (auto& [proposal, applied] : finished) {
      proposal->Finish(OutcomeUnknownError("the state of this replica is damaged"));
    }
    return Halt(group);
  }
  KVD_FAULT_POINT(kAfterApply);
  counters_.entries_applied += items.size();
  group.core->OnApplied(committed.back()->index);
  for (auto& [proposal, applied] : finished) {
    proposal->Finish(applied ? absl::OkStatus()
                             : NotLeaderError(group.id, LeaderStore(group.id), ""));
  }
  KVD_FAULT_POINT(kAnswered);
  // More may be committed than one output carries.
  Schedule(group);
}

// What was proposed here is committed, or will be: others apply it.
void Host::Halt(Group& group) {
  group.halted = true;
  FailProposals(group);
  FailReads(group);
}

void Host::FailReads(Group& group) {
  std::vector<Group::WaitingRead> waiting;
  waiting.swap(group.waiting_reads);
  for (Group::WaitingRead& item : waiting)
    item.read(NotLeaderError(group.id, LeaderStore(group.id), ""));
}

void Host::FinishReads(Group& group) {
  if (group.halted) return FailReads(group);
  if (group.waiting_reads.empty()) return;
  std::vector<Group::WaitingRead> waiting;
  waiting.swap(group.waiting_reads);
  for (Group::WaitingRead& item : waiting) {
    if (group.core->applied_index() >= item.ticket.index) {
      item.read(item.ticket);
    } else if (!group.core->IsLeader()) {
      item.read(NotLeaderError(group.id, LeaderStore(group.id), ""));
    } else {
      group.waiting_reads.push_back(std::move(item));
    }
  }
}

bool Host::RoleChanged(const Group& group) {
  bool leads = group.core->IsLeader();
  return leads != group.led || (leads && group.led_term != group.core->term());
}

void Host::OnRoleChange(Group& group) {
  if (!RoleChanged(group)) return;
  bool leads = group.core->IsLeader();
  if (group.led) {
    KVD_FAULT_POINT(kLostLeadership);
    FailProposals(group);
    group.senders.clear();
    if (group.membership_done) {
      auto done = std::move(group.membership_done);
      group.membership_done = nullptr;
      done(OutcomeUnknownError("leadership was lost during the membership change"));
    }
  }
  group.led = leads;
  group.led_term = group.core->term();
  if (leads) {
    ++counters_.elections_won;
    KVD_FAULT_POINT(kBecameLeader);
  }
  group.state_machine->OnRoleChange(leads, group.core->term());
}

void Host::FailProposals(Group& group) {
  // In the log of the old term they may still be committed by a new leader.
  std::deque<Group::Pending> proposals;
  proposals.swap(group.proposals);
  proposals_waiting_ -= proposals.size();
  for (Group::Pending& pending : proposals) {
    pending.proposal->Finish(
        OutcomeUnknownError("leadership was lost before the command was committed"));
  }
}

void Host::CheckMembershipDone(Group& group) {
  if (!group.membership_done) return;
  // The final configuration too must be committed: until then the old members are needed.
  if (group.core->applied_index() < group.membership_index ||
      group.core->configuration().IsJoint() ||
      group.core->applied_index() < group.core->configuration_index()) {
    return;
  }
  KVD_FAULT_POINT(kMembershipDone);
  auto done = std::move(group.membership_done);
  group.membership_done = nullptr;
  done(absl::OkStatus());
}

// The lowest index that a snapshot under way, or a follower that is being caught up, goes on from.
Index Host::NeededByFollowers(const Group& group) const {
  Index needed(~uint64_t{0});
  for (const auto& [to, sender] : group.senders) needed = std::min(needed, sender->index());
  for (const auto& [peer, progress] : group.core->progress()) {
    bool heard = loop_->Now() - progress.last_contact < std::chrono::seconds(1);
    if (heard && progress.state() == Progress::State::kReplicate) {
      needed = std::min(needed, progress.match());
    }
  }
  return needed;
}

void Host::MaybeTruncate(Group& group) {
  const Log& log = group.core->log();
  if (group.core->NeedsRepair()) return;
  bool short_of_room = disk_ != DiskState::kOk;
  uint64_t entries_kept = options_.log_entries_kept;
  uint64_t bytes_kept = options_.log_bytes_kept;
  if (short_of_room) entries_kept = std::min(entries_kept, kEntriesKeptWhenLow);
  if (short_of_room) bytes_kept = std::min(bytes_kept, kBytesKeptWhenLow);
  bool many = log.last_index() - log.start() > 2 * entries_kept;
  bool large = group.log_size.Bytes() > 2 * bytes_kept;
  if (!many && !large) return;
  Index target = log.start();
  if (many) target = log.last_index() - entries_kept;
  if (large) target = std::max(target, group.log_size.PlaceLeaving(bytes_kept));
  // What followers are about to need stays, unless they take too long.
  bool excessive = log.last_index() - log.start() > 10 * entries_kept ||
                   group.log_size.Bytes() > 10 * bytes_kept;
  if (!excessive) target = std::min(target, NeededByFollowers(group));
  // Never past what survives a crash without the log.
  target = std::min(
      {target, group.state_machine->DurableIndex(), group.core->applied_index(), log.stable()});
  // An entry that can't be read, all applied, has no term to tell: what the state is at has.
  if (!log.TermAt(target).has_value()) target = group.core->applied_index();
  if (target > group.state_machine->DurableIndex() || !log.TermAt(target).has_value()) return;
  if (target <= log.start()) return;
  SnapshotMeta start{target, *log.TermAt(target), group.core->ConfigurationAt(target)};
  KVD_FAULT_POINT(kBeforeTruncate);
  group.core->Compact(target);
  group.log_size.CutTo(target);
  LogWrite write;
  write.group = group.id;
  write.truncate = std::move(start);
  std::vector<LogWrite> writes;
  writes.push_back(std::move(write));
  SubmitWrite(std::move(writes), {});
  KVD_FAULT_POINT(kAfterTruncate);
}

}  // namespace kvd::raft
