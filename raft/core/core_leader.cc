// Leading: proposals, replication, commit (thesis, 3.5, 3.6.2, 10.2.1).
#include <algorithm>

#include "proto/check.h"
#include "proto/error.h"
#include "raft/core/core.h"

namespace kvd::raft {

absl::StatusOr<Index> Core::Propose(MonotonicTime now, std::string command) {
  SetNow(now);
  if (role_ != Role::kLeader) return absl::UnavailableError("not the leader");
  if (command.size() > options_.proposal_bytes_max) {
    return LimitError("proposal", options_.proposal_bytes_max, command.size(), "bytes");
  }
  // A proposal accepted now would only delay the hand-over.
  if (transfer_target_) return absl::UnavailableError("leadership is being transferred");
  if (uncommitted_bytes_ >= options_.uncommitted_bytes_max) {
    return BusyError("too many bytes are waiting to be committed", 50);
  }
  AppendAsLeader(EntryType::kCommand, std::move(command));
  return log_.last_index();
}

void Core::AppendAsLeader(EntryType type, std::string data) {
  NoteUse(now_);
  auto entry = std::make_shared<Entry>();
  entry->term = term();
  entry->index = log_.last_index() + 1;
  entry->type = type;
  entry->data = std::move(data);
  uncommitted_bytes_ += entry->Bytes();
  rounds_.Appended(entry->Bytes(), type == EntryType::kCommand);
  log_.Append(entry);
  output_.entries.push_back(std::move(entry));
}

bool Core::HoldsBack() const {
  return role_ == Role::kLeader &&
         rounds_.Hold(log_.last_index(), log_.stable(), commit_index(), now_);
}

MonotonicTime Core::GatherEnd() const {
  return HoldsBack() && log_.stable() >= rounds_.released() ? rounds_.gather_end() : kLongAgo;
}

void Core::BroadcastAppend() {
  for (auto& [peer, progress] : progress_) MaybeSendAppend(peer, progress, /*send_empty=*/false);
}

// Requires: the term at `previous` is known.
Message Core::AppendAfter(Index previous, ReplicaId to) const {
  Message m = Envelope(MessageType::kAppend, to);
  m.index = previous;
  m.log_term = *log_.TermAt(previous);
  m.commit = commit_index();
  m.round = round_;
  m.sent_at = now_;
  return m;
}

void Core::SendAppend(Message m, Progress& progress) {
  progress.sent_commit = m.commit;
  // A leader by its own vote alone has told nobody of its term yet: the vote must be on disk, or
  // the same term could begin anew after a crash, with other entries.
  if (log_.stable() < term_start_) {
    SendAfterPersist(std::move(m));
  } else {
    Send(std::move(m));
  }
}

void Core::SendSnapshot(ReplicaId to, Progress& progress) {
  progress.BecomeSnapshot(log_.start());
  output_.snapshots.push_back({to});
}

// What was sent is not answered: lost, or the follower's disk is busy. It is not sent again before
// that is known: it may wait there.
void Core::AskWhereLogsAgree(ReplicaId to, Progress& progress) {
  Index previous = progress.next() - 1;
  if (previous < log_.start() || !log_.TermAt(previous)) return SendSnapshot(to, progress);
  SendAppend(AppendAfter(previous, to), progress);
}

void Core::MaybeSendAppend(ReplicaId to, Progress& progress, bool send_empty) {
  while (!progress.IsPaused()) {
    Index previous = progress.next() - 1;
    if (previous < log_.start() || !log_.TermAt(previous)) return SendSnapshot(to, progress);
    Message m = AppendAfter(previous, to);
    m.entries = log_.Slice(progress.next(), rounds_.released() + 1, options_.append_bytes_max);
    if (m.entries.empty() && progress.next() <= rounds_.released()) {
      // Its own copy, long applied, can't be read: the state has its effects.
      return SendSnapshot(to, progress);
    }
    if (m.entries.empty() && !send_empty) return;
    size_t bytes = 0;
    for (const EntryPtr& entry : m.entries) bytes += entry->Bytes();
    progress.Sent(m.index + m.entries.size(), bytes);
    bool more = !m.entries.empty();
    SendAppend(std::move(m), progress);
    if (!more) return;
    send_empty = false;
  }
}

void Core::NoteUse(MonotonicTime now) {
  last_use_ = now;
  next_heartbeat_ = std::min(next_heartbeat_, now + UntilNext(now, options_.heartbeat_interval));
}

Duration Core::BeatInterval() const {
  Duration busy = options_.heartbeat_interval;
  bool idle = now_ >= last_use_ + options_.idle_after && !configuration().IsJoint() && IsCalm(now_);
  return idle ? busy * std::max<int64_t>(1, options_.election_timeout_min / 3 / busy) : busy;
}

void Core::BroadcastHeartbeat() {
  // Those of all groups at the same time: they travel together.
  next_heartbeat_ = now_ + UntilNext(now_, BeatInterval());
  bool lease = KnowsCommitted() && HoldsLease(now_);
  for (auto& [peer, progress] : progress_) {
    Message m = Envelope(MessageType::kHeartbeat, peer);
    // Where nothing else carries the news of a commit, this does.
    m.commit = std::min(commit_index(), progress.match());
    progress.sent_commit = std::max(progress.sent_commit, m.commit);
    m.round = round_;
    m.sent_at = now_;
    if (lease) {
      m.closed_index = commit_index();
      m.follower_sent_at = progress.peer_clock;
      m.follower_life = progress.peer_life;
    }
    // As with appends: a term that was begun by the own vote alone may begin anew after a crash.
    bool told = log_.stable() >= term_start_ || configuration().voters.size() > 1;
    told ? Send(std::move(m)) : SendAfterPersist(std::move(m));
  }
}

void Core::NoteRoundTrip(Duration took, Progress& progress) {
  bool first = progress.round_trip == Duration::zero();
  progress.round_trip = first ? took : (progress.round_trip * 3 + took) / 4;
}

void Core::NoteContact(const Message& m, Progress& progress) {
  progress.last_contact = now_;
  progress.acked_sent_at = std::max(progress.acked_sent_at, m.sent_at);
  progress.acked_round = std::max(progress.acked_round, m.round);
  progress.peer_clock = m.follower_sent_at;
  progress.peer_life = m.follower_life;
  progress.needs_state = m.needs_state;
  ConfirmReads();
}

void Core::HandleAppendReply(const Message& m) {
  if (role_ != Role::kLeader) return;
  auto it = progress_.find(m.from);
  if (it == progress_.end()) return;
  Progress& progress = it->second;
  NoteContact(m, progress);
  if (m.reject) {
    // Below the hint, skip whole terms of ours that the follower can't have (thesis, 3.5).
    Index hint = log_.FindConflict(m.hint_index, m.hint_term);
    if (progress.Rejected(m.index, hint, m.sent_at, now_)) {
      MaybeSendAppend(m.from, progress, /*send_empty=*/true);
    }
    return;
  }
  if (m.index > log_.last_index()) return;  // can't be: the reply is damaged or of another log
  if (!progress.Acked(m.index, m.sent_at, now_)) return;
  MaybeCommit();
  // Committing a configuration can end this leader's office, or the peer's membership.
  it = progress_.find(m.from);
  if (it != progress_.end()) MaybeFinishTransfer(m.from, it->second);
}

void Core::HandleHeartbeatReply(const Message& m) {
  if (role_ != Role::kLeader) return;
  auto it = progress_.find(m.from);
  if (it == progress_.end()) return;
  Progress& progress = it->second;
  // Answers that come late or twice tell nothing new.
  if (m.sent_at > progress.acked_sent_at) NoteRoundTrip(now_ - m.sent_at, progress);
  NoteContact(m, progress);
  // Asked again with each heartbeat until one has arrived.
  if (m.needs_state) output_.snapshots.push_back({m.from});
  // Something was sent and never answered: an empty append finds out what is missing.
  if (progress.match() >= rounds_.released() || progress.state() == Progress::State::kSnapshot) {
    return;
  }
  if (progress.IsPaused()) return AskWhereLogsAgree(m.from, progress);
  MaybeSendAppend(m.from, progress, /*send_empty=*/true);
}

void Core::MaybeCommit() {
  Index quorum = QuorumValue(configuration(), [&](ReplicaId id) {
    if (id == id_) return log_.stable();
    auto it = progress_.find(id);
    return it == progress_.end() ? Index() : it->second.match();
  });
  // Only entries of the own term commit by counting (thesis, 3.6.2).
  if (quorum <= commit_index() || log_.TermAt(quorum) != term()) return;
  for (const EntryPtr& entry : log_.Slice(commit_index() + 1, quorum + 1, ~size_t{0})) {
    if (entry->term != term()) continue;
    uncommitted_bytes_ -= std::min<uint64_t>(uncommitted_bytes_, entry->Bytes());
  }
  hard_state_.commit = quorum;
  rounds_.Committed(quorum, log_.last_index(), now_);
  OnCommittedConfiguration();
  if (role_ == Role::kLeader && !reads_.empty()) ConfirmReads();
}

void Core::OnSnapshotSent(MonotonicTime now, ReplicaId to, bool installed, Index index) {
  SetNow(now);
  auto it = progress_.find(to);
  if (role_ != Role::kLeader || it == progress_.end()) return;
  if (it->second.state() != Progress::State::kSnapshot) return;
  if (installed && index <= log_.last_index()) {
    it->second.BecomeSnapshot(index);
    it->second.Acked(index, now_, now_);
    MaybeCommit();
  } else {
    it->second.BecomeProbe(now_);
  }
}

}  // namespace kvd::raft
