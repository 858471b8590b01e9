// Runs the groups of a store on one loop: feeds their cores with time, messages and completions,
// and carries out what they ask for. All groups' log entries of a turn go to disk in one write;
// messages to one store travel in one batch; followers are sent to while the own write runs.
//
// Lives on its loop; nothing here is thread-safe.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "raft/core/core.h"
#include "raft/log_store.h"
#include "raft/snapshot_sender.h"
#include "raft/state_machine.h"
#include "raft/transport.h"

namespace kvd::raft {

enum class ReadMode { kLease, kReadIndex };

struct HostOptions {
  StoreId store;
  CoreOptions core;
  SnapshotOptions snapshot;
  Duration tick_interval = milliseconds(20);
  // Log kept behind the durable state for followers that lag; beyond it they get a snapshot.
  uint64_t log_entries_kept = 10'000;
  uint64_t log_bytes_kept = 128 << 20;
  Duration truncate_interval = milliseconds(1000);
  size_t proposals_max = 65'536;  // waiting, per group
};

// Proves, after a read, that it was linearizable; see Host::Confirm.
struct ReadTicket {
  ReadMode mode = ReadMode::kLease;
  Term term;
  Index index;  // that the state has to be at, or beyond, when it is read
};

using ReadCallback = std::function<void(absl::StatusOr<ReadTicket>)>;

struct HostCounters {
  uint64_t log_writes = 0;  // each with one sync
  // Writes that became durable, and how long that took all of them together.
  uint64_t log_syncs = 0;
  Duration log_sync_time = Duration::zero();
  uint64_t entries_written = 0;
  uint64_t messages_sent = 0;
  uint64_t entries_applied = 0;
  uint64_t apply_stalls = 0;  // times that a state machine took nothing more for a while
  uint64_t proposals = 0;
  uint64_t elections_won = 0;
  uint64_t snapshots_sent = 0;
  uint64_t snapshots_installed = 0;
  uint64_t entries_damaged = 0;  // found at start
  uint64_t entries_repaired = 0;
};

class Host : public TransportHandler {
 public:
  // Everything given outlives the host.
  Host(Loop* loop, LogStore* log_store, Transport* transport, const HostOptions& options);
  ~Host() override;

  // Makes a new replica known to the log store; `done` once that is durable. `configuration` is
  // empty for a replica that joins an existing group.
  void CreateGroup(GroupId group, ReplicaId replica, const Configuration& configuration, Task done);

  // Starts a replica from its log and state. If the state is behind the log's start, the replica
  // asks the leader for a snapshot; DATA_LOSS if there is nobody to ask.
  absl::Status StartGroup(GroupLog log, StateMachine* state_machine);

  // host_remove.cc
  // This store has no replica of the group from now on: what waits is answered, its state machine
  // is not used again. `done` once its log is gone durably, and a tombstone in its place:
  // `replica`, which may never have been here, can't come back. Not from within a callback of the
  // host's.
  void RemoveGroup(GroupId group, ReplicaId replica, Task done);

  // Proposes a command. A failure to accept it is returned, and `proposal` is dropped unfinished;
  // else `proposal` is finished later.
  absl::Status Propose(GroupId group, std::string command, std::unique_ptr<Proposal> proposal);

  // Calls `read`, perhaps at once, when the state machine reflects every write acknowledged before
  // now; it reads, then asks Confirm before it answers.
  void Read(GroupId group, ReadMode mode, ReadCallback read);
  // The same, if it can be told at once.
  std::optional<ReadTicket> TryRead(GroupId group, ReadMode mode);
  // Whether what was just read may be answered. If not: read again with kReadIndex.
  bool Confirm(GroupId group, const ReadTicket& ticket) const;

  // `done` once committed (a joint change: once left again), or with the reason why not.
  void ChangeMembership(GroupId group, const MembershipChange& change,
                        std::function<void(absl::Status)> done);
  absl::Status TransferLeadership(GroupId group, ReplicaId target);
  // To the voter that has the most, was heard of lately and can lead. False if there is none such,
  // or if this replica does not lead; asked again until it does not.
  bool HandOver(GroupId group);
  // Starts an election at once; for the only voter of a group.
  void Campaign(GroupId group);

  // host_recover.cc
  // Brings a group back from the replica here, of which the log must end as the request says:
  // Core::StandAlone. `commands` are its next entries, durable with it or not at all.
  struct AloneRequest {
    ReplicaId replica;
    Index last_index;
    Term last_term;
    std::vector<std::string> commands;
  };
  // `done` once all of it is committed and applied, or with the reason why not.
  void StandAlone(GroupId group, const AloneRequest& request,
                  std::function<void(absl::Status)> done);
  // OK if that is possible now; else why not, NOT_FOUND or FAILED_PRECONDITION.
  absl::Status MayStandAlone(GroupId group) const;

  bool Has(GroupId group) const { return groups_.contains(group); }
  // Requires: Has(group).
  const Core& core(GroupId group) const;
  std::vector<GroupId> groups() const;
  // The store whose replica leads, 0 if unknown.
  StoreId LeaderStore(GroupId group) const;
  // host_disk.cc
  // The room on this store's disk from now on. Short of it, less log is kept, and no snapshot is
  // taken in; at kCritical no commands are: the replica lags until there is room.
  void SetDisk(DiskState state);
  // What a store told last; its own too.
  DiskState DiskOf(StoreId store) const;
  // Whether a quorum of the group can be formed of stores that are not short of room. While one is,
  // those that were not heard of for a second do not count. Requires: it leads.
  bool HasRoom(GroupId group) const;
  // A voter on such a store that holds all that is committed; 0 if none does. Requires: it leads.
  ReplicaId CaughtUpVoterWithRoom(GroupId group) const;
  // Of commands that were taken in here and are not in the state yet.
  uint64_t UnappliedBytes() const;
  // host_leave.cc
  // This store's state is known to be damaged: while it leads it lets nobody give up another one.
  void NoteStateDamaged() { state_damaged_ = true; }
  // Asks for leave to give up this replica's state, from now on with every answer to the leader.
  // Whether the leader has given it: then a majority has its state without this replica, or
  // everybody else has.
  bool AskLeave(GroupId group);
  // Asks no longer, and has no leave; another replica may get it.
  void TakeBackAsking(GroupId group);
  // Whether a peer has a state that is not known to be damaged, as far as can be told. Requires: it
  // leads.
  bool MayHaveState(GroupId group, ReplicaId peer) const;
  // Lower median of the voters' wall clocks, milliseconds since the Unix epoch.
  uint64_t MedianWallMillis(GroupId group) const;
  // Whether an entry was in the log when this host started, so that it is perhaps not applied for
  // the first time.
  bool MayBeReplayed(GroupId group, Index index) const;
  // How long heartbeats of groups that are led here take to the stores of their other replicas and
  // back; the quickest of each.
  std::map<StoreId, Duration> RoundTrips() const;
  // Proposals that wait to be applied.
  size_t pending_proposals(GroupId group) const;
  const HostCounters& counters() const { return counters_; }

  void OnMessages(std::vector<GroupMessage> messages) override;
  void OnChunk(StoreId from, SnapshotChunk chunk) override;
  void OnAck(SnapshotAck ack) override;

  // Told of what proposals, messages and snapshots bring, as it is taken in.
  std::function<void(uint64_t bytes)> on_taken_in;
  // Told once if a damaged entry that may have been committed can be had from nobody.
  std::function<void(GroupId, Index)> on_unrepairable;
  // Called after every turn that changed something; for invariant checks and metrics.
  std::function<void()> after_turn;

 private:
  struct Group;
  struct InFlightWrite {
    struct Part {
      GroupId group;
      Index index;
      Term term;
    };
    std::vector<Part> parts;
    std::vector<std::pair<GroupId, Term>> terms;
    std::vector<std::pair<GroupId, Message>> after;
    std::vector<Task> then;
    MonotonicTime submitted_at = kLongAgo;
  };

  // host.cc
  void Schedule(Group& group);
  void RunTurn();
  LogWrite Collect(Group& group, Output& output, InFlightWrite& flight);
  void TakeReads(Group& group, const Output& output);
  void AwaitGathering(Group& group);
  void SubmitWrite(std::vector<LogWrite> writes, InFlightWrite flight);
  void SubmitTurn(std::vector<LogWrite> writes, InFlightWrite flight);
  bool LeadsInUse() const;
  void OnWritten();
  void Queue(GroupId group, Message message);
  void FlushMessages();
  Group* Find(GroupId group);
  const Group* Find(GroupId group) const;

  // host_tick.cc
  void Tick();
  void AwaitTick();
  void ReportDamage(Group& group);

  // host_apply.cc
  bool CanApply(Group& group);
  void ApplyCommitted(Group& group, const std::vector<EntryPtr>& committed);
  void Halt(Group& group);
  void FinishReads(Group& group);
  // Whether the state machine was not told yet.
  static bool RoleChanged(const Group& group);
  void OnRoleChange(Group& group);
  void FailProposals(Group& group);
  void FailReads(Group& group);
  void CheckMembershipDone(Group& group);
  Index NeededByFollowers(const Group& group) const;
  void MaybeTruncate(Group& group);

  // host_disk.cc
  // Cuts from an append what a store without room does not take in. True if it need not go at all:
  // nothing is left, and `sender`, null at the receiver, knows already where the logs agree.
  bool HoldsBack(Message& message, DiskState receiver, const Core* sender) const;
  void NoteTakenIn(uint64_t bytes);

  // host_leave.cc
  void TellOfState(Group& group, Message* m) const;
  void HearOfState(Group& group, const Message& m);
  uint64_t LeaveFor(Group& group, const Message& heartbeat) const;
  bool OthersHaveState(const Group& group, ReplicaId without) const;

  // host_snapshot.cc
  void StartSnapshot(Group& group, ReplicaId to);
  void Install(Group& group, StoreId from, const SnapshotChunk& last);
  void Acknowledge(StoreId to, const SnapshotChunk& chunk, uint64_t next, bool reject,
                   bool installed);

  Loop* const loop_;
  LogStore* const log_store_;
  Transport* const transport_;
  const HostOptions options_;

  std::map<GroupId, std::unique_ptr<Group>> groups_;
  std::vector<GroupId> dirty_;
  size_t proposals_waiting_ = 0;  // of all groups
  bool turn_scheduled_ = false;
  std::deque<InFlightWrite> writes_in_flight_;
  std::map<StoreId, std::vector<GroupMessage>> outgoing_;
  struct WallReading {
    uint64_t millis;
    MonotonicTime at;
  };
  std::map<StoreId, WallReading> walls_;
  DiskState disk_ = DiskState::kOk;
  std::map<StoreId, DiskState> disks_;  // of the others
  uint64_t turn_bytes_ = 0;             // taken in since the last turn
  bool state_damaged_ = false;
  std::unique_ptr<Timer> tick_timer_;
  bool ticks_calmly_ = false;  // all groups are calm
  MonotonicTime next_truncate_;
  HostCounters counters_;
  // Completions that arrive after the host is gone find this expired.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace kvd::raft
