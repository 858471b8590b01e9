// The host's book-keeping for one group. Private to the host.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <vector>

#include "raft/host.h"
#include "raft/log_size.h"

namespace kvd::raft {

struct Host::Group : public LogReader {
  struct Pending {
    Index index;
    Term term;
    std::unique_ptr<Proposal> proposal;
  };
  struct WaitingRead {
    ReadTicket ticket;
    ReadCallback read;
  };
  struct Receiving {
    uint64_t snapshot_id = 0;
    uint64_t next = 0;
    std::unique_ptr<SnapshotStage> stage;
    ReplicaId from;
    Term term;  // of the leader that sends it; 0: of none
    MonotonicTime progress_at;
  };
  // What a follower told last of its state, in the term that it said it in.
  struct Peer {
    Term term;
    MonotonicTime sent_at;  // of what it answered
    MonotonicTime heard_at;
    uint64_t asks = 0;  // the number of its asking for leave; 0: it does not ask
    uint64_t life = 0;
    bool needs_state = false;
    bool damaged = false;
  };
  // Whom this leader lets give its state up, until it has one again.
  struct Leave {
    Term term;
    ReplicaId to;
    uint64_t number = 0;
    uint64_t life = 0;
    MonotonicTime given_at;
  };
  const Peer* Known(ReplicaId peer) const;

  std::vector<EntryPtr> Read(Index from, Index end, size_t bytes_max) const override {
    return log_store->Read(id, from, end, bytes_max);
  }

  GroupId id;
  const LogStore* log_store = nullptr;
  StateMachine* state_machine = nullptr;
  std::unique_ptr<Core> core;
  // Where replicas that wrote to this one live.
  std::map<ReplicaId, StoreId> correspondents;
  bool dirty = false;
  bool led = false;
  Term led_term;
  bool tombstone_written = false;
  Index log_end_at_start;
  bool damage_reported = false;
  // The state machine takes nothing for now.
  bool stalled = false;
  std::unique_ptr<Timer> stall_timer;
  // The state is damaged: nothing is applied any more, while the log goes on.
  bool halted = false;
  // To give up a damaged state. Each asking has a number of its own: what allowed an earlier one is
  // worth nothing, however late it comes.
  bool asks_leave = false;
  uint64_t asks_taken_back = 0;
  Term leave_term;  // in which it was given
  uint64_t AskNumber() const { return core->life() + asks_taken_back; }
  // Of a leader.
  std::map<ReplicaId, Peer> peers;
  Leave leave;
  // A snapshot is being installed: nothing else may touch the core.
  bool installing = false;
  std::deque<Pending> proposals;
  std::unique_ptr<Timer> gather_timer;
  std::map<uint64_t, ReadCallback> index_reads;  // by ReadIndex id
  uint64_t next_read_id = 1;
  std::vector<WaitingRead> waiting_reads;
  std::map<ReplicaId, std::unique_ptr<SnapshotSender>> senders;
  Receiving receiving;
  std::function<void(absl::Status)> membership_done;
  Index membership_index;
  LogSize log_size;
};

}  // namespace kvd::raft
