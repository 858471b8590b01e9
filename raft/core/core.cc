#include "raft/core/core.h"

#include "absl/strings/str_cat.h"
#include "proto/check.h"

namespace kvd::raft {

std::string Validate(const CoreOptions& o) {
  auto millis = [](Duration d) { return std::chrono::duration_cast<milliseconds>(d).count(); };
  if (o.heartbeat_interval <= Duration::zero()) {
    return absl::StrCat("heartbeat_interval is ", millis(o.heartbeat_interval),
                        " ms, the least is 1 ms");
  }
  if (o.election_timeout_min < 3 * o.heartbeat_interval) {
    return absl::StrCat(
        "election_timeout_min is ", millis(o.election_timeout_min),
        " ms, the least is three heartbeat intervals: ", 3 * millis(o.heartbeat_interval), " ms");
  }
  if (o.lease_duration >= o.election_timeout_min) {
    return absl::StrCat(
        "lease_duration is ", millis(o.lease_duration),
        " ms, it must be below election_timeout_min: ", millis(o.election_timeout_min), " ms");
  }
  return "";
}

Core::Core(ReplicaId id, const CoreOptions& options, const InitialState& initial,
           const LogReader* reader, MonotonicTime now, uint64_t seed)
    : id_(id),
      options_(options),
      random_(seed),
      now_(now),
      last_tick_(now),
      hard_state_(initial.hard_state),
      persisted_hard_state_(initial.hard_state),
      durable_term_(initial.hard_state.term),
      log_(reader, initial.start.index, initial.start.term, initial.entries),
      applied_(initial.applied),
      emitted_(initial.applied),
      started_at_(now),
      rounds_(options.rounds) {
  KVD_CHECK(Validate(options).empty());
  KVD_CHECK(initial.applied <= log_.last_index());
  // Neither the state machine nor the log's start runs ahead of what is committed.
  hard_state_.commit = std::max({hard_state_.commit, initial.applied, initial.start.index});
  KVD_CHECK(hard_state_.commit <= log_.last_index());
  configurations_.push_back({initial.start.index, initial.start.configuration});
  for (const EntryPtr& entry : initial.entries) {
    if (entry->type != EntryType::kConfiguration) continue;
    Configuration configuration;
    KVD_CHECK(Configuration::Decode(entry->data, &configuration));
    configurations_.push_back({entry->index, std::move(configuration)});
  }
  TakeDamage(initial);
  life_ = random_.Next();
  if (initial.restarted) no_votes_before_ = now + options_.election_timeout_min;
  ResetElectionTimer();
}

void Core::SetNow(MonotonicTime now) {
  KVD_CHECK(now >= now_);
  now_ = now;
}

// A replica that was away finds what the others have sent meanwhile behind this call: it is not to
// be taken for silence. Not over and over, though: one that is always late is judged too.
bool Core::MayJudgeSilence() {
  bool away = now_ - last_tick_ > options_.heartbeat_interval;
  last_tick_ = now_;
  if (away && judged_since_away_) {
    judged_from_ = now_ + options_.heartbeat_interval;
    judged_since_away_ = false;
  }
  if (now_ < judged_from_) return false;
  judged_since_away_ = true;
  return true;
}

void Core::Tick(MonotonicTime now) {
  SetNow(now);
  bool judges = MayJudgeSilence();
  if (role_ == Role::kLeader) {
    bool beats = now_ >= next_heartbeat_;
    if (judges && beats) CheckQuorum();
    if (role_ != Role::kLeader) return;
    if (transfer_target_ && now_ >= transfer_deadline_) transfer_target_ = ReplicaId();
    if (beats) BroadcastHeartbeat();
    return;
  }
  if (NeedsRepair() && now_ >= next_repair_) AskNextForRepair();
  if (judges && now_ >= election_deadline_) Campaign(now);
}

void Core::Campaign(MonotonicTime now) {
  SetNow(now);
  if (role_ == Role::kLeader || removed_) return;
  if (!MayCampaign()) {
    ResetElectionTimer();
    return;
  }
  // Its own vote is a vote like any other: what it promised to a leader binds it too. Nobody else
  // can lead where it is the only voter and knows that this is committed.
  bool alone = configuration().voters.size() == 1 && !configuration().IsJoint() && IsVoter() &&
               configurations_.back().index <= commit_index();
  if (!alone && (now_ < no_votes_before_ || InLeaderLease())) return;
  StartElection(/*pre_vote=*/true, /*transfer=*/false);
}

void Core::ResetElectionTimer() {
  Duration min = options_.election_timeout_min;
  auto spread = static_cast<uint64_t>(min.count()) / 3;
  election_deadline_ = now_ + min + Duration(static_cast<int64_t>(random_.Below(spread)));
}

void Core::BecomeFollower(Term term, ReplicaId leader) {
  KVD_CHECK(term >= hard_state_.term);
  if (term > hard_state_.term) {
    hard_state_.term = term;
    hard_state_.vote = ReplicaId();
  }
  if (role_ == Role::kLeader) {
    FailReads();
    led_since_ = now_;
  }
  bool keep_timer = role_ == Role::kFollower && leader_ == leader;
  role_ = Role::kFollower;
  leader_ = leader;
  votes_.clear();
  progress_.clear();
  transfer_target_ = ReplicaId();
  uncommitted_bytes_ = 0;
  if (!keep_timer) ResetElectionTimer();
}

void Core::BecomeLeader(EntryType first, std::string data) {
  KVD_CHECK(role_ == Role::kCandidate || role_ == Role::kPreCandidate);
  role_ = Role::kLeader;
  leader_ = id_;
  votes_.clear();
  led_since_ = now_;
  lease_forfeited_until_ = kLongAgo;
  transfer_target_ = ReplicaId();
  uncommitted_bytes_ = 0;
  progress_.clear();
  SyncProgress();
  // Entries of earlier terms commit only together with one of this term (thesis, 3.6.2).
  rounds_.Restart(log_.last_index());
  term_start_ = log_.last_index() + 1;
  AppendAsLeader(first, std::move(data));
  next_heartbeat_ = now_ + UntilNext(now_, options_.heartbeat_interval);
}

// True if the message is dealt with, or must be ignored.
bool Core::HandleOtherTerm(const Message& m) {
  if (m.term > term()) {
    bool vote = m.type == MessageType::kVote || m.type == MessageType::kPreVote;
    // A disturbing candidate is ignored while a leader is alive (thesis, 4.2.3).
    if (vote && !m.transfer && InLeaderLease()) return true;
    // A pre-vote binds nobody, and a granted reply carries the term it asked for.
    if (m.type == MessageType::kPreVote) return false;
    if (m.type == MessageType::kPreVoteReply && !m.reject) return false;
    bool from_leader = m.type == MessageType::kAppend || m.type == MessageType::kHeartbeat;
    BecomeFollower(m.term, from_leader ? m.from : ReplicaId());
    return false;
  }
  if (m.term == term()) return false;
  switch (m.type) {
    case MessageType::kAppend:
    case MessageType::kHeartbeat: {
      // Tells a leader of the past, or frees this replica if its term ran ahead (etcd's "stuck
      // candidate").
      Message reply = Envelope(MessageType::kAppendReply, m.from);
      reply.reject = true;
      SendAfterPersist(std::move(reply));
      return true;
    }
    case MessageType::kPreVote:
    case MessageType::kVote: {
      Message reply = Envelope(
          m.type == MessageType::kVote ? MessageType::kVoteReply : MessageType::kPreVoteReply,
          m.from);
      reply.reject = true;
      SendAfterPersist(std::move(reply));
      return true;
    }
    default: return true;
  }
}

void Core::Step(MonotonicTime now, const Message& m) {
  SetNow(now);
  if (m.to != id_ || removed_) return;
  if (configuration().IsExpelled(m.from)) return RefuseExpelled(m);
  NoteHeard(m);
  // A removed replica that asks for votes, or for entries, is told so by the leader.
  if (IsLeader() && !configuration().Contains(m.from) && !configuration().IsJoint() &&
      configurations_.back().index <= commit_index() &&
      (m.type == MessageType::kPreVote || m.type == MessageType::kVote ||
       m.type == MessageType::kRepair)) {
    Message reply = Envelope(MessageType::kRemoved, m.from);
    Send(std::move(reply));
    return;
  }
  if (NeedsRepair()) acquaintances_.insert(m.from);
  if (m.type == MessageType::kRepair) return HandleRepair(m);
  if (m.type == MessageType::kRepairReply) return HandleRepairReply(m);
  if (HandleOtherTerm(m)) return;
  switch (m.type) {
    case MessageType::kAppend: return HandleAppend(m);
    case MessageType::kHeartbeat: return HandleHeartbeat(m);
    case MessageType::kAppendReply: return HandleAppendReply(m);
    case MessageType::kHeartbeatReply: return HandleHeartbeatReply(m);
    case MessageType::kVote:
    case MessageType::kPreVote: return HandleVoteRequest(m);
    case MessageType::kVoteReply:
    case MessageType::kPreVoteReply: return HandleVoteReply(m);
    case MessageType::kTimeoutNow: return HandleTimeoutNow(m);
    case MessageType::kRemoved: removed_ = true; return;
    case MessageType::kRepair:
    case MessageType::kRepairReply: return;  // of no term, above
  }
}

Message Core::Envelope(MessageType type, ReplicaId to) const {
  Message m;
  m.type = type;
  m.from = id_;
  m.to = to;
  m.term = term();
  return m;
}

void Core::Send(Message m) { output_.messages.push_back(std::move(m)); }

void Core::SendAfterPersist(Message m) { output_.messages_after_persist.push_back(std::move(m)); }

void Core::OnTermPersisted(Term term) { durable_term_ = std::max(durable_term_, term); }

void Core::OnPersisted(MonotonicTime now, Index index, Term term) {
  SetNow(now);
  log_.StableTo(index, term);
  if (role_ == Role::kLeader) MaybeCommit();
}

void Core::OnApplied(Index index) {
  KVD_CHECK(index >= applied_ && index <= commit_index());
  applied_ = index;
  if (fresh_pending_index_ && applied_ >= fresh_pending_index_) {
    fresh_as_of_ = std::max(fresh_as_of_, fresh_pending_);
    fresh_pending_index_ = Index();
  }
  log_.EvictTo(applied_, options_.cache_bytes_max);
}

void Core::Compact(Index index) {
  if (index <= log_.start()) return;
  KVD_CHECK(index <= applied_ && index <= log_.stable());
  auto term = log_.TermAt(index);
  KVD_CHECK(term.has_value());
  log_.CompactTo(index, *term);
  while (configurations_.size() > 1 && configurations_[1].index <= index) {
    configurations_.erase(configurations_.begin());
  }
}

bool Core::CanUseSnapshot(const SnapshotMeta& meta, Term leader_term) const {
  bool of_any_term = !leader_term && (NeedsState() || NeedsRepair());
  if (removed_ || (leader_term < term() && !of_any_term)) return false;
  if (NeedsState()) return meta.index >= log_.start();
  return NeedsRepair() ? meta.index > log_.start() : meta.index > commit_index();
}

bool Core::Holds(const SnapshotMeta& meta) const {
  return !NeedsState() && !NeedsRepair() && meta.index <= commit_index() &&
         meta.index <= log_.stable();
}

bool Core::KeepsLog(const SnapshotMeta& meta) const {
  if (!NeedsState() && !NeedsRepair()) return false;
  // What follows a place of which nothing is known stays, in doubt as it is. Terms never fall.
  bool unknown = meta.index > log_.start() && meta.index < log_.last_index() &&
                 !log_.TermAt(meta.index) && meta.term <= log_.last_term();
  return unknown || log_.Matches(meta.index, meta.term);
}

bool Core::WantsSnapshot(const SnapshotMeta& meta, Term leader_term) {
  if (!CanUseSnapshot(meta, leader_term)) return false;
  // The state never gets ahead of the log on the own disk.
  if (KeepsLog(meta)) return meta.index <= log_.stable();
  if (log_.Matches(meta.index, meta.term)) {
    // The log holds it all: to drop what follows could lose entries this replica acknowledged.
    CommitTo(meta.index);
    return false;
  }
  return true;
}

void Core::Restore(MonotonicTime now, const SnapshotMeta& meta, Term leader_term,
                   ReplicaId leader) {
  SetNow(now);
  KVD_CHECK(CanUseSnapshot(meta, leader_term));
  bool keep = KeepsLog(meta);
  if (leader_term) {
    BecomeFollower(leader_term, leader);
  } else if (meta.term > term()) {
    BecomeFollower(meta.term, ReplicaId());
  }
  ResetElectionTimer();
  if (keep) {
    applied_ = emitted_ = meta.index;
    CommitTo(meta.index);
    log_.CompactTo(meta.index, meta.term);
    damaged_.erase(damaged_.begin(), damaged_.upper_bound(meta.index));
    suspects_.erase(suspects_.begin(), suspects_.upper_bound(meta.index));
    configurations_[0] = {meta.index, meta.configuration};
    RebuildConfigurations();
    OnMended();
    return;
  }
  damaged_.clear();
  suspects_.clear();
  output_.entries.clear();
  output_.repaired.clear();
  log_.Reset(meta.index, meta.term);
  configurations_.assign(1, {meta.index, meta.configuration});
  hard_state_.commit = applied_ = emitted_ = meta.index;
  OnMended();
}

void Core::CheckState() const {
  KVD_CHECK(applied_ <= emitted_ && emitted_ <= commit_index());
  KVD_CHECK(emitted_ <= log_.stable());
  KVD_CHECK(commit_index() <= log_.last_index());
  if (NeedsState() || NeedsRepair()) KVD_CHECK(role_ == Role::kFollower && emitted_ == applied_);
  if (NeedsRepair()) {
    KVD_CHECK(*damaged_.begin() > log_.start() && *damaged_.rbegin() <= log_.last_index());
    KVD_CHECK(log_.TermAt(*damaged_.rbegin()).has_value());
  }
  KVD_CHECK(log_.stable() <= log_.last_index());
  KVD_CHECK(log_.last_term() <= term());
  KVD_CHECK(!configurations_.empty() && configurations_.back().index <= log_.last_index());
  for (size_t i = 1; i < configurations_.size(); ++i) {
    KVD_CHECK(configurations_[i - 1].index < configurations_[i].index);
  }
  if (role_ == Role::kLeader) {
    KVD_CHECK(leader_ == id_);
    KVD_CHECK(hard_state_.vote == id_);
    KVD_CHECK(log_.last_term() == term());
    for (const auto& [peer, progress] : progress_) {
      KVD_CHECK(peer != id_);
      KVD_CHECK(progress.match() < progress.next());
      KVD_CHECK(progress.next() <= log_.last_index() + 1);
    }
  } else {
    KVD_CHECK(leader_ != id_);
    KVD_CHECK(progress_.empty());
  }
  if (role_ == Role::kCandidate) KVD_CHECK(hard_state_.vote == id_);
}

}  // namespace kvd::raft
