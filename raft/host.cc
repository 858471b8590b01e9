#include "raft/host.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "proto/check.h"
#include "proto/error.h"
#include "proto/fault_point.h"
#include "raft/host_group.h"

namespace kvd::raft {

namespace {
// While so few commands are waited for, how soon each is answered matters more than what that
// costs.
constexpr size_t kAwaitedMax = 16;
// A group that was not asked for anything for so long is not expected to be soon.
constexpr auto kInUse = milliseconds(100);
}  // namespace

Host::Host(Loop* loop, LogStore* log_store, Transport* transport, const HostOptions& options)
    : loop_(loop), log_store_(log_store), transport_(transport), options_(options) {
  next_truncate_ = loop_->Now() + options_.truncate_interval;
  AwaitTick();
}

Host::~Host() {
  for (auto& [id, group] : groups_) FailProposals(*group);
}

absl::Status Host::Propose(GroupId id, std::string command, std::unique_ptr<Proposal> proposal) {
  Group* group = Find(id);
  if (group == nullptr || group->installing || group->halted) {
    return absl::UnavailableError(absl::StrCat("no replica of group ", id.value(), " here"));
  }
  if (group->proposals.size() >= options_.proposals_max) {
    return BusyError("too many commands wait to be committed", 20);
  }
  if (group->stalled && UnappliedBytes() >= options_.core.uncommitted_bytes_max) {
    return BusyError("too many bytes are waiting to be applied", 50);
  }
  uint64_t bytes = command.size();
  auto index = group->core->Propose(loop_->Now(), std::move(command));
  if (!index.ok()) {
    KVD_FAULT_POINT(kProposeRefused);
    return index.status();
  }
  ++counters_.proposals;
  ++proposals_waiting_;
  group->proposals.push_back({*index, group->core->term(), std::move(proposal)});
  Schedule(*group);
  NoteTakenIn(bytes);
  KVD_FAULT_POINT(kProposed);
  return absl::OkStatus();
}

std::optional<ReadTicket> Host::TryRead(GroupId id, ReadMode mode) {
  Group* group = Find(id);
  if (mode != ReadMode::kLease || group == nullptr || group->halted) return std::nullopt;
  Core& core = *group->core;
  bool can = core.IsLeader() && core.HoldsLease(loop_->Now()) &&
             core.applied_index() >= core.commit_index();
  if (!can) return std::nullopt;
  core.NoteUse(loop_->Now());
  KVD_FAULT_POINT(kReadByLease);
  return ReadTicket{ReadMode::kLease, core.term(), core.commit_index()};
}

void Host::Read(GroupId id, ReadMode mode, ReadCallback read) {
  if (auto ticket = TryRead(id, mode)) return read(*ticket);
  Group* group = Find(id);
  if (group == nullptr || group->halted || !group->core->IsLeader()) {
    return read(NotLeaderError(id, LeaderStore(id), ""));
  }
  auto now = loop_->Now();
  Core& core = *group->core;
  if (mode == ReadMode::kLease && core.HoldsLease(now)) {
    ReadTicket ticket{ReadMode::kLease, core.term(), core.commit_index()};
    group->waiting_reads.push_back({ticket, std::move(read)});
    return;
  }
  uint64_t read_id = group->next_read_id++;
  group->index_reads.emplace(read_id, std::move(read));
  KVD_CHECK(core.ReadIndex(now, read_id).ok());
  KVD_FAULT_POINT(kReadByIndex);
  Schedule(*group);
}

bool Host::Confirm(GroupId id, const ReadTicket& ticket) const {
  const Group* group = Find(id);
  if (group == nullptr) return false;
  if (ticket.mode == ReadMode::kReadIndex) return true;
  return group->core->term() == ticket.term && group->core->HoldsLease(loop_->Now());
}

void Host::ChangeMembership(GroupId id, const MembershipChange& change,
                            std::function<void(absl::Status)> done) {
  Group* group = Find(id);
  if (group == nullptr) return done(absl::UnavailableError("no replica of this group here"));
  if (group->membership_done) {
    return done(absl::FailedPreconditionError("another membership change is under way"));
  }
  auto index = group->core->ChangeMembership(loop_->Now(), change);
  if (!index.ok()) return done(index.status());
  group->membership_done = std::move(done);
  group->membership_index = *index;
  KVD_FAULT_POINT(kMembershipProposed);
  Schedule(*group);
}

absl::Status Host::TransferLeadership(GroupId id, ReplicaId target) {
  Group* group = Find(id);
  if (group == nullptr) return absl::UnavailableError("no replica of this group here");
  KVD_FAULT_POINT(kTransferBegins);
  absl::Status status = group->core->TransferLeadership(loop_->Now(), target);
  Schedule(*group);
  return status;
}

bool Host::HandOver(GroupId id) {
  Group* group = Find(id);
  if (group == nullptr || !group->core->IsLeader()) return false;
  const Core& core = *group->core;
  ReplicaId best;
  Index best_match;
  for (const auto& [peer, progress] : core.progress()) {
    bool recent = loop_->Now() - progress.last_contact < milliseconds(500);
    if (!recent || !MayHaveState(id, peer) || !core.configuration().IsVoter(peer)) continue;
    if (progress.match() < best_match) continue;
    best = peer;
    best_match = progress.match();
  }
  if (!best) return false;
  if (!core.transferring()) (void)TransferLeadership(id, best);
  return true;
}

void Host::Campaign(GroupId id) {
  Group* group = Find(id);
  KVD_CHECK(group != nullptr);
  group->core->Campaign(loop_->Now());
  Schedule(*group);
}

void Host::Schedule(Group& group) {
  if (!group.dirty) {
    group.dirty = true;
    dirty_.push_back(group.id);
  }
  if (turn_scheduled_) return;
  turn_scheduled_ = true;
  loop_->Post([this, alive = std::weak_ptr<bool>(alive_)] {
    if (!alive.expired()) RunTurn();
  });
}

// One turn: what all dirty groups want leaves together, then committed entries are applied while
// the disk and the network work.
void Host::RunTurn() {
  KVD_FAULT_POINT(kTurnBegins);
  turn_scheduled_ = false;
  turn_bytes_ = 0;
  std::vector<GroupId> ids;
  ids.swap(dirty_);
  std::vector<LogWrite> writes;
  InFlightWrite flight;
  std::vector<std::pair<Group*, std::vector<EntryPtr>>> to_apply;
  for (GroupId id : ids) {
    Group* known = Find(id);
    if (known == nullptr) continue;  // removed since
    Group& group = *known;
    group.dirty = false;
    if (group.installing) continue;
    Output output = group.core->TakeOutput(CanApply(group));
    AwaitGathering(group);
    for (Message& m : output.messages) Queue(id, std::move(m));
    for (Message& m : output.messages_after_persist) flight.after.emplace_back(id, std::move(m));
    if (output.NeedsWrite() || (group.core->removed() && !group.tombstone_written)) {
      writes.push_back(Collect(group, output, flight));
    }
    TakeReads(group, output);
    for (const SnapshotRequest& request : output.snapshots) StartSnapshot(group, request.to);
    to_apply.emplace_back(&group, std::move(output.committed));
  }
  KVD_FAULT_POINT(kBeforeMessages);
  FlushMessages();
  KVD_FAULT_POINT(kAfterMessages);
  SubmitTurn(std::move(writes), std::move(flight));
  KVD_FAULT_POINT(kAfterSubmit);
  for (auto& [group, committed] : to_apply) {
    OnRoleChange(*group);
    ApplyCommitted(*group, committed);
    FinishReads(*group);
    CheckMembershipDone(*group);
    if (ticks_calmly_ && !group->core->IsCalm(loop_->Now())) {
      ticks_calmly_ = false;
      AwaitTick();
    }
  }
  if (after_turn) after_turn();
  loop_->ExpectSoon(proposals_waiting_ > 0 && proposals_waiting_ <= kAwaitedMax);
}

LogWrite Host::Collect(Group& group, Output& output, InFlightWrite& flight) {
  LogWrite write;
  write.group = group.id;
  write.hard_state = output.hard_state;
  if (write.hard_state) flight.terms.emplace_back(group.id, write.hard_state->term);
  write.entries = std::move(output.entries);
  write.repairs = std::move(output.repaired);
  counters_.entries_repaired += write.repairs.size();
  if (!write.repairs.empty()) KVD_FAULT_POINT(kRepairing);
  write.removed = group.tombstone_written = group.core->removed();
  if (write.entries.empty()) return write;
  write.previous = group.core->log().TermAt(write.entries.front()->index - 1).value_or(Term());
  for (const EntryPtr& entry : write.entries) {
    group.log_size.Add(entry->index, entry->Bytes());
    ++counters_.entries_written;
  }
  flight.parts.push_back({group.id, write.entries.back()->index, write.entries.back()->term});
  return write;
}

void Host::TakeReads(Group& group, const Output& output) {
  for (const ReadState& read : output.reads) {
    KVD_FAULT_POINT(kReadConfirmed);
    auto node = group.index_reads.extract(read.id);
    ReadTicket ticket{ReadMode::kReadIndex, group.core->term(), read.index};
    group.waiting_reads.push_back({ticket, std::move(node.mapped())});
  }
  for (uint64_t read_id : output.failed_reads) {
    KVD_FAULT_POINT(kReadsFailed);
    auto node = group.index_reads.extract(read_id);
    node.mapped()(NotLeaderError(group.id, LeaderStore(group.id), ""));
  }
}

void Host::AwaitGathering(Group& group) {
  auto now = loop_->Now();
  if (group.gather_timer != nullptr || group.core->GatherEnd() <= now) return;
  group.gather_timer = loop_->After(group.core->GatherEnd() - now, [this, id = group.id] {
    Group* group = Find(id);
    if (group == nullptr) return;
    group->gather_timer.reset();
    group->core->Tick(loop_->Now());
    Schedule(*group);
  });
}

// A follower can't go on before its write is on disk, and nobody waits for its loop: no thread is
// woken for it. The loop of a leader that is asked for something is never held up by the disk.
void Host::SubmitTurn(std::vector<LogWrite> writes, InFlightWrite flight) {
  flight.submitted_at = loop_->Now();
  bool here = !writes.empty() && writes_in_flight_.empty() && !LeadsInUse() &&
              log_store_->TryWriteNow(writes);
  if (!here) return SubmitWrite(std::move(writes), std::move(flight));
  ++counters_.log_writes;
  writes_in_flight_.push_back(std::move(flight));
  OnWritten();
}

bool Host::LeadsInUse() const {
  auto then = loop_->Now() - kInUse;
  return std::any_of(groups_.begin(), groups_.end(),
                     [then](const auto& item) { return item.second->core->LeadsInUseSince(then); });
}

void Host::SubmitWrite(std::vector<LogWrite> writes, InFlightWrite flight) {
  if (writes.empty()) {
    if (writes_in_flight_.empty()) {
      for (auto& [group, message] : flight.after) Queue(group, std::move(message));
      FlushMessages();
      return;
    }
    // Nothing new to write, but what the messages promise may still be on its way to the disk.
    auto& last = writes_in_flight_.back().after;
    for (auto& item : flight.after) last.push_back(std::move(item));
    return;
  }
  flight.submitted_at = loop_->Now();
  writes_in_flight_.push_back(std::move(flight));
  ++counters_.log_writes;
  log_store_->Write(loop_, std::move(writes), [this, alive = std::weak_ptr<bool>(alive_)] {
    if (!alive.expired()) OnWritten();
  });
}

void Host::OnWritten() {
  KVD_FAULT_POINT(kWritten);
  InFlightWrite flight = std::move(writes_in_flight_.front());
  writes_in_flight_.pop_front();
  if (flight.submitted_at != kLongAgo) {
    ++counters_.log_syncs;
    counters_.log_sync_time += loop_->Now() - flight.submitted_at;
  }
  for (auto& [group, message] : flight.after) Queue(group, std::move(message));
  FlushMessages();
  KVD_FAULT_POINT(kAfterWrittenMessages);
  for (auto [id, term] : flight.terms) {
    if (Group* group = Find(id)) group->core->OnTermPersisted(term);
  }
  for (const auto& part : flight.parts) {
    Group* group = Find(part.group);
    if (group == nullptr || group->installing) continue;
    group->core->OnPersisted(loop_->Now(), part.index, part.term);
    Schedule(*group);
  }
  KVD_FAULT_POINT(kAfterPersisted);
  for (Task& task : flight.then) task();
}

void Host::Queue(GroupId id, Message message) {
  Group* group = Find(id);
  if (group == nullptr) return;
  StoreId to = group->core->configuration().StoreOf(message.to);
  // A replica outside the own, perhaps outdated or empty, configuration still gets its answer.
  if (!to) {
    auto it = group->correspondents.find(message.to);
    if (it == group->correspondents.end()) return;
    to = it->second;
  }
  if (HoldsBack(message, DiskOf(to), group->core.get())) return;
  message.from_store = options_.store;
  message.disk = disk_;
  TellOfState(*group, &message);
  message.wall_ms = loop_->WallMillis();
  ++counters_.messages_sent;
  outgoing_[to].push_back({id, std::move(message)});
}

void Host::FlushMessages() {
  for (auto& [store, messages] : outgoing_) {
    if (messages.empty()) continue;
    transport_->Send(store, std::move(messages));
    messages.clear();
  }
}

void Host::OnMessages(std::vector<GroupMessage> messages) {
  KVD_FAULT_POINT(kMessagesArrive);
  for (GroupMessage& item : messages) {
    Message& m = item.message;
    walls_[m.from_store] = {m.wall_ms, loop_->Now()};
    disks_[m.from_store] = m.disk;
    if (HoldsBack(m, disk_, nullptr)) continue;
    Group* group = Find(item.group);
    if (group == nullptr || group->installing || group->tombstone_written) continue;
    group->correspondents[m.from] = m.from_store;
    group->core->Step(loop_->Now(), m);
    HearOfState(*group, m);
    Schedule(*group);
    for (const EntryPtr& entry : m.entries) NoteTakenIn(entry->Bytes());
  }
}

Host::Group* Host::Find(GroupId id) {
  auto it = groups_.find(id);
  return it == groups_.end() ? nullptr : it->second.get();
}

const Host::Group* Host::Find(GroupId id) const { return const_cast<Host*>(this)->Find(id); }

const Core& Host::core(GroupId id) const {
  const Group* group = Find(id);
  KVD_CHECK(group != nullptr);
  return *group->core;
}

std::vector<GroupId> Host::groups() const {
  std::vector<GroupId> ids;
  for (const auto& [id, group] : groups_) ids.push_back(id);
  return ids;
}

StoreId Host::LeaderStore(GroupId id) const {
  const Group* group = Find(id);
  if (group == nullptr || !group->core->leader()) return StoreId();
  return group->core->configuration().StoreOf(group->core->leader());
}

bool Host::MayBeReplayed(GroupId id, Index index) const {
  const Group* group = Find(id);
  return group != nullptr && index <= group->log_end_at_start;
}

size_t Host::pending_proposals(GroupId id) const {
  const Group* group = Find(id);
  return group == nullptr ? 0 : group->proposals.size();
}

uint64_t Host::MedianWallMillis(GroupId id) const {
  const Group* group = Find(id);
  std::vector<uint64_t> walls = {loop_->WallMillis()};
  if (group != nullptr) {
    auto now = loop_->Now();
    for (const Member& m : group->core->configuration().voters) {
      auto it = walls_.find(m.store);
      if (m.store == options_.store || it == walls_.end()) continue;
      auto age = std::chrono::duration_cast<milliseconds>(now - it->second.at).count();
      walls.push_back(it->second.millis + static_cast<uint64_t>(age));
    }
  }
  std::sort(walls.begin(), walls.end());
  return walls[(walls.size() - 1) / 2];
}

}  // namespace kvd::raft
