// The consensus state machine of one replica: pure and deterministic. Events go in by the methods
// below, everything it wants done comes out of TakeOutput. No I/O, clock or global randomness.
//
// Source: the thesis; pre-vote 9.6, check-quorum 6.2, leases and ReadIndex 6.4, transfer 3.10,
// joint consensus 4.3, own disk write in parallel 10.2.1. Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "raft/core/log.h"
#include "raft/core/progress.h"
#include "raft/core/quorum.h"
#include "raft/core/rounds.h"
#include "raft/core/types.h"
#include "raft/runtime/random.h"

namespace kvd::raft {

struct CoreOptions {
  // A follower that hears nothing for a random time in [min, 4/3 of min) asks for votes: far enough
  // apart for others to answer in between, and no longer without a leader than that takes. Also how
  // long a leader leads without hearing from a quorum.
  Duration election_timeout_min = milliseconds(600);
  // A leader of which nothing was asked for idle_after beats more slowly: see BeatInterval.
  Duration heartbeat_interval = milliseconds(100);
  Duration idle_after = milliseconds(1000);
  // A lease holds this long from the sending of the round that a quorum answered. Shorter than
  // election_timeout_min by what two clocks may drift apart in that time.
  Duration lease_duration = milliseconds(540);
  size_t append_bytes_max = 1 << 20;        // entries of one message
  size_t inflight_bytes_max = 8 << 20;      // per follower, not yet acknowledged
  size_t inflight_messages_max = 256;       // likewise; fewer after losses
  size_t proposal_bytes_max = 20 << 20;     // one entry
  size_t uncommitted_bytes_max = 64 << 20;  // of the leader's log tail
  size_t cache_bytes_max = 32 << 20;        // recent entries kept in memory
  size_t apply_bytes_max = 4 << 20;         // committed entries of one output
  RoundOptions rounds;
};

// Empty, or why the options can't work: names the field, the value and the limit.
std::string Validate(const CoreOptions& options);

// What a replica knows when it starts.
struct InitialState {
  HardState hard_state;
  SnapshotMeta start;             // the log begins behind it; its configuration holds until the
                                  // first configuration entry
  std::vector<EntryPtr> entries;  // all of the log, already on disk; kDamaged where unreadable
  std::vector<Suspect> suspects;  // what stands, readable, at places that are damaged all the same
  Index applied;                  // what the state machine has applied; below start.index if it
                                  // lost its state, see Core::NeedsState
  bool restarted = false;         // it has run before: it may have granted a lease it forgot
};

struct ReadState {
  uint64_t id;  // as given to ReadIndex
  Index index;  // a read is linearizable once this index is applied
};

struct SnapshotRequest {
  ReplicaId to;
};

// What to do, in this order of dependence: `messages` at once; `hard_state`, `entries` and
// `repaired` to disk in one write, after all earlier ones; `messages_after_persist` once that write
// *and all earlier ones* are on disk; the rest at any time.
struct Output {
  std::optional<HardState> hard_state;
  std::vector<EntryPtr> entries;  // replace whatever the log holds from entries.front()->index on
  std::vector<Suspect> repaired;  // verified: go to their places; what follows in the log stays
  std::vector<Message> messages;
  std::vector<Message> messages_after_persist;
  std::vector<EntryPtr> committed;  // to apply, in order, without a gap to the previous output
  std::vector<ReadState> reads;
  std::vector<uint64_t> failed_reads;  // by id: not confirmed, ask the new leader
  std::vector<SnapshotRequest> snapshots;

  bool NeedsWrite() const {
    return hard_state.has_value() || !entries.empty() || !repaired.empty();
  }
};

// A change of members, as one step. The result must keep at least one voter.
struct MembershipChange {
  std::vector<Member> add_learners;
  std::vector<ReplicaId> promote;  // learners that become voters
  std::vector<ReplicaId> remove;
};

class Core {
 public:
  // `reader` outlives the core. Two cores built alike and fed alike behave alike.
  Core(ReplicaId id, const CoreOptions& options, const InitialState& initial,
       const LogReader* reader, MonotonicTime now, uint64_t seed);

  // --- Events. `now` never falls. ---

  // Time passes; call at least four times per heartbeat_interval, or twice while IsCalm.
  void Tick(MonotonicTime now);
  void Step(MonotonicTime now, const Message& message);
  // Appends a command to the log; it is committed if an output returns it in `committed` with the
  // same term. UNAVAILABLE if not the leader, RESOURCE_EXHAUSTED beyond uncommitted_bytes_max,
  // INVALID_ARGUMENT beyond proposal_bytes_max.
  absl::StatusOr<Index> Propose(MonotonicTime now, std::string command);
  // Confirms leadership by a round of heartbeats; the answer comes in Output::reads. UNAVAILABLE if
  // not the leader.
  absl::Status ReadIndex(MonotonicTime now, uint64_t id);
  // FAILED_PRECONDITION while another change is open, INVALID_ARGUMENT if it makes no sense.
  absl::StatusOr<Index> ChangeMembership(MonotonicTime now, const MembershipChange& change);
  // Hands over to `target`, or gives up after an election timeout.
  absl::Status TransferLeadership(MonotonicTime now, ReplicaId target);
  // core_alone.cc
  // A majority of the members is gone for good, and somebody who may decide that says so: from now
  // on this replica is the group's only voter, and leads it, by an entry that nobody else has to
  // agree to. What it holds in its log stays and will be committed; what others acknowledged behind
  // that is given up, and so is everybody else who was a member: Configuration::expelled. The term
  // is kTermsSkipped above its own: so an index and a term go on naming one entry, however often
  // those that are gone had elections that were not heard of here.
  // `last_index` and `last_term`: where the log is to end. FAILED_PRECONDITION if it ends elsewhere
  // or MayStandAlone says no. The index of the entry: once it is committed this can't be undone.
  absl::StatusOr<Index> StandAlone(MonotonicTime now, Index last_index, Term last_term);
  // OK if the group may be brought back from here: the replica is a member and whole, and has heard
  // neither a leader nor as many voters as make a majority with it for kSilentTimeouts election
  // timeouts. Else FAILED_PRECONDITION with the reason.
  absl::Status MayStandAlone(MonotonicTime now) const;
  static constexpr uint64_t kTermsSkipped = 1 << 20;
  static constexpr int kSilentTimeouts = 5;

  // Starts an election at once, if it may, does not lead and owes no leader its silence.
  void Campaign(MonotonicTime now);

  // Everything up to `index`, whose term is `term`, is on this replica's disk.
  void OnPersisted(MonotonicTime now, Index index, Term term);
  // A hard state of an output with this term is.
  void OnTermPersisted(Term term);
  void OnApplied(Index index);
  // A client was served without an event here: the group is in use, see BeatInterval.
  void NoteUse(MonotonicTime now);
  // Whether it leads, and was asked for something at that moment or later.
  bool LeadsInUseSince(MonotonicTime then) const { return IsLeader() && last_use_ >= then; }
  // The log up to `index` is no longer needed here. Requires: index <= applied and stable.
  void Compact(Index index);
  // Whether a snapshot at this position could be of use, going by what is known so far.
  // `leader_term` is 0 if it comes from a replica that does not lead, for one that lacks what it
  // needs to elect.
  bool CanUseSnapshot(const SnapshotMeta& meta, Term leader_term) const;
  // Whether this replica should install the snapshot that the leader of `leader_term` offers.
  bool WantsSnapshot(const SnapshotMeta& meta, Term leader_term);
  // Whether everything up to its end is committed and on the own disk: it brings nothing, and a
  // leader that can't send this replica the entries may take it to be that far all the same.
  bool Holds(const SnapshotMeta& meta) const;
  // Whether what follows the snapshot in the log stays: the state was lost, or entries are damaged
  // that the snapshot stands for.
  bool KeepsLog(const SnapshotMeta& meta) const;
  // The snapshot replaced the state and the log up to it (unless KeepsLog, all of the log),
  // durably. Requires: WantsSnapshot(meta, leader_term) was true and no event came in between.
  void Restore(MonotonicTime now, const SnapshotMeta& meta, Term leader_term, ReplicaId leader);
  // The snapshot for `to` is installed there, or could not be sent.
  void OnSnapshotSent(MonotonicTime now, ReplicaId to, bool installed, Index index);

  // Whether nothing is due before the next heartbeat, or soon: two ticks for each will do.
  bool IsCalm(MonotonicTime now) const;
  // Whether TakeOutput may give something that time has brought; what events bring is not looked
  // for.
  bool HasOutput() const;
  // Without `apply` nothing is given out to be applied: the state machine takes nothing now.
  Output TakeOutput(bool apply = true);

  // --- State. ---

  ReplicaId id() const { return id_; }
  Role role() const { return role_; }
  bool IsLeader() const { return role_ == Role::kLeader; }
  Term term() const { return hard_state_.term; }
  ReplicaId leader() const { return leader_; }
  ReplicaId vote() const { return hard_state_.vote; }
  Index commit_index() const { return hard_state_.commit; }
  Index applied_index() const { return applied_; }
  const Log& log() const { return log_; }
  const Configuration& configuration() const { return configurations_.back().configuration; }
  // Where the configuration in force stands in the log.
  Index configuration_index() const { return configurations_.back().index; }
  // The configuration in force at `index`, which must not be below the log's start.
  const Configuration& ConfigurationAt(Index index) const;
  bool removed() const { return removed_; }
  // The state lacks what the log no longer holds: nothing can be applied until a snapshot came. The
  // log keeps its promises meanwhile, so this replica votes and acknowledges, but never leads.
  bool NeedsState() const { return applied_ < log_.start(); }
  // Entries are damaged that this replica acknowledged: it asks the others for them, and neither
  // votes, acknowledges, applies nor truncates until it has them (Alagappan et al., FAST
  // 2018, 3.4).
  bool NeedsRepair() const { return !damaged_.empty(); }
  const std::set<Index>& damaged() const { return damaged_; }
  // The damaged entry of which every other voter has said that it can't give it, though it may have
  // been committed: nothing but an operator's decision can help.
  std::optional<Index> Unrepairable() const;
  // When it became the leader; of use only while it leads.
  MonotonicTime led_since() const { return led_since_; }
  bool transferring() const { return static_cast<bool>(transfer_target_); }
  const std::map<ReplicaId, Progress>& progress() const { return progress_; }
  uint64_t uncommitted_bytes() const { return uncommitted_bytes_; }

  // Leads, and has committed an entry of its own term: knows everything that was committed before.
  bool KnowsCommitted() const;
  // Whether no other leader can have committed anything before `now` (thesis, 6.4.1): counted from
  // the sending of the last round that a quorum answered. Never true again in a term in which
  // TimeoutNow was sent.
  bool HoldsLease(MonotonicTime now) const;
  // Random, one per start; told in every reply to a leader.
  uint64_t life() const { return life_; }
  // The applied state reflects every write acknowledged before this moment of the own clock.
  MonotonicTime fresh_as_of() const { return fresh_as_of_; }

  // A leader's commands wait until then for others to join them, see rounds.h, and a Tick then
  // sends them off; the far past: none does.
  MonotonicTime GatherEnd() const;

  // Aborts if an invariant of a single replica is broken.
  void CheckState() const;

 private:
  struct ConfigurationAtIndex {
    Index index;
    Configuration configuration;
  };
  struct PendingRead {
    uint64_t id;
    uint64_t round;
    Index index;
  };

  // core.cc: terms, roles, dispatch.
  void SetNow(MonotonicTime now);
  bool MayJudgeSilence();
  void BecomeFollower(Term term, ReplicaId leader);
  // Its first entry is of that kind.
  void BecomeLeader(EntryType first = EntryType::kEmpty, std::string data = "");
  void ResetElectionTimer();
  bool HandleOtherTerm(const Message& m);
  void RefuseExpelled(const Message& m);
  void NoteHeard(const Message& m);
  void Send(Message m);
  void SendAfterPersist(Message m);
  Message Envelope(MessageType type, ReplicaId to) const;
  bool IsVoter() const { return configuration().IsVoter(id_); }
  // Whether it may campaign: a voter with a state. One that the configuration in force removes is
  // needed as well, until that is committed: it may be the only one that holds it (thesis, 4.2.2).
  bool MayCampaign() const;

  // core_election.cc
  void StartElection(bool pre_vote, bool transfer);
  void HandleVoteRequest(const Message& m);
  void HandleVoteReply(const Message& m);
  void HandleTimeoutNow(const Message& m);
  void TallyVotes();
  bool InLeaderLease() const;
  void CheckQuorum();

  // core_follower.cc
  void HandleAppend(const Message& m);
  void HandleHeartbeat(const Message& m);
  Index AppendEntries(const Message& m);
  void CommitTo(Index index);
  void NoteFreshness(const Message& m);

  // core_leader.cc
  void AppendAsLeader(EntryType type, std::string data);
  bool HoldsBack() const;
  void BroadcastAppend();
  Message AppendAfter(Index previous, ReplicaId to) const;
  void SendAppend(Message m, Progress& progress);
  void SendSnapshot(ReplicaId to, Progress& progress);
  void AskWhereLogsAgree(ReplicaId to, Progress& progress);
  void MaybeSendAppend(ReplicaId to, Progress& progress, bool send_empty);
  void BroadcastHeartbeat();
  // Three in an election timeout will do while nothing is asked and nothing is missing anywhere.
  Duration BeatInterval() const;
  void HandleAppendReply(const Message& m);
  void HandleHeartbeatReply(const Message& m);
  static void NoteRoundTrip(Duration took, Progress& progress);
  void NoteContact(const Message& m, Progress& progress);
  void MaybeCommit();
  void SendTimeoutNow(ReplicaId to, const Progress& progress);
  void MaybeFinishTransfer(ReplicaId to, const Progress& progress);

  // core_read.cc
  void StartReadRound();
  void ConfirmReads();
  void FailReads();
  MonotonicTime QuorumSentAt() const;

  // core_repair.cc
  void TakeDamage(const InitialState& initial);
  void AskForRepair(ReplicaId to);
  void AskNextForRepair();
  void HandleRepair(const Message& m);
  void HandleRepairReply(const Message& m);
  EntryPtr CopyOf(Index index, Term term, Term* previous) const;
  void FillReply(const Message& m, Message* reply) const;
  void FillReplacement(const Message& m, Message* reply) const;
  void Fill(const Message& m);
  void Mend(EntryPtr entry);
  void CollectReplacement(const Message& m);
  void ReplaceLog();
  void OnMended();
  void RebuildConfigurations();

  // core_membership.cc
  void AdoptConfiguration(Index index, Configuration configuration);
  void DropConfigurationsFrom(Index index);
  void SyncProgress();
  void OnCommittedConfiguration();

  const ReplicaId id_;
  const CoreOptions options_;
  Random random_;
  MonotonicTime now_;
  MonotonicTime last_tick_;
  MonotonicTime judged_from_ = kLongAgo;  // before, nobody's silence counts
  bool judged_since_away_ = true;

  HardState hard_state_;
  HardState persisted_hard_state_;  // as last put into an output
  Term durable_term_;               // on the own disk
  Log log_;
  Index applied_;
  Index emitted_;  // highest index given out in Output::committed
  // Ascending by index; never empty; the last is in force.
  std::vector<ConfigurationAtIndex> configurations_;

  Role role_ = Role::kFollower;
  ReplicaId leader_;
  bool removed_ = false;
  MonotonicTime election_deadline_;
  MonotonicTime leader_contact_ = kLongAgo;   // last time the current leader was heard
  MonotonicTime no_votes_before_ = kLongAgo;  // after a restart: may have promised to a lease
  MonotonicTime started_at_;
  // Members of whom something was heard, and when, by which they may take part in an election.
  std::map<ReplicaId, MonotonicTime> heard_;

  // Freshness of the applied state, for bounded-stale reads. `life_` tells clock readings of this
  // core from those of an earlier one on the same replica.
  uint64_t life_;
  MonotonicTime fresh_as_of_ = kLongAgo;
  MonotonicTime fresh_pending_ = kLongAgo;
  Index fresh_pending_index_;

  // Damage: places whose entry is unknown. The highest one's term is always known.
  std::set<Index> damaged_;
  std::map<Index, Suspect> suspects_;  // at damaged places
  MonotonicTime next_repair_ = kLongAgo;
  size_t repair_turn_ = 0;
  std::set<ReplicaId>
      acquaintances_;  // wrote meanwhile: the damaged part may hold who the members are
  std::map<ReplicaId, RepairAnswer> repair_answers_;  // of the highest damaged entry
  bool repair_by_snapshot_ = false;                   // somebody compacted what is damaged here
  // The leader's own log, from the own log's start on, while it turns out that the leader lacks
  // what is damaged here: then it was never committed.
  std::vector<EntryPtr> replacement_;
  Term replacement_term_;
  Index replacement_end_;

  // No voter by its own log, but by somebody's who asked for a vote lately and has an older log:
  // while a voter is away, nobody else may be able to lead.
  MonotonicTime wanted_until_ = kLongAgo;

  // Candidate: +1 granted, -1 refused.
  std::map<ReplicaId, int> votes_;

  // Leader.
  std::map<ReplicaId, Progress> progress_;  // without itself
  MonotonicTime next_heartbeat_ = kLongAgo;
  MonotonicTime last_use_ = kLongAgo;   // while it leads
  MonotonicTime led_since_ = kLongAgo;  // while it does not lead: since when it leads no more
  Index term_start_;                    // its first entry of this term
  Rounds rounds_;
  uint64_t round_ = 0;
  bool round_wanted_ = false;
  std::vector<PendingRead> reads_;
  uint64_t uncommitted_bytes_ = 0;
  ReplicaId transfer_target_;
  MonotonicTime transfer_deadline_ = kLongAgo;
  // TimeoutNow was sent: somebody may win without regard to the lease.
  MonotonicTime lease_forfeited_until_ = kLongAgo;
  MonotonicTime votes_count_until_ = kLongAgo;

  Output output_;
};

}  // namespace kvd::raft
