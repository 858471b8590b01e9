// What a leader knows of one follower, and how much it may send it (thesis, 3.5 and 10.2.1;
// the three states are etcd-raft's). Pure; owned by one Core.
#pragma once

#include <deque>

#include "raft/core/types.h"

namespace kvd::raft {

class Progress {
 public:
  enum class State {
    kProbe,      // where the logs agree is not known: one message at a time
    kReplicate,  // they agree up to match: send ahead, within the window
    kSnapshot,   // needs entries that are compacted: a snapshot is on its way
  };

  Progress(Index next, size_t bytes_max, size_t messages_max)
      : next_(next), window_(messages_max), bytes_max_(bytes_max), messages_max_(messages_max) {}

  State state() const { return state_; }
  Index match() const { return match_; }
  Index next() const { return next_; }
  size_t inflight_bytes() const { return inflight_bytes_; }

  // Whether nothing more may be sent before an answer comes.
  bool IsPaused() const;

  // An append with entries up to `last` (or none: last + 1 == next) has been sent.
  void Sent(Index last, size_t bytes);
  // The follower holds everything up to `index`, it says of an append sent at `sent_at`. False if
  // that is no news.
  bool Acked(Index index, MonotonicTime sent_at, MonotonicTime now);
  // The follower refused an append after `rejected` that was sent at `sent_at`; `hint` may match.
  // False if the answer is stale.
  bool Rejected(Index rejected, Index hint, MonotonicTime sent_at, MonotonicTime now);
  void BecomeProbe(MonotonicTime now);
  void BecomeSnapshot(Index snapshot);
  Index snapshot() const { return snapshot_; }

  // The peer's last sign of life, on the leader's clock.
  MonotonicTime last_contact = kLongAgo;
  // Of heartbeats, over the last ones; 0: none was answered yet.
  Duration round_trip = Duration::zero();
  // Send time of the latest round that the peer answered: the lease counts from the quorum's.
  MonotonicTime acked_sent_at = kLongAgo;
  uint64_t acked_round = 0;
  // The peer's own clock in its last reply; echoed to it.
  MonotonicTime peer_clock = kLongAgo;
  uint64_t peer_life = 0;
  // It lost its state and waits for a snapshot, whatever its log holds.
  bool needs_state = false;
  // Highest commit index that was sent to it.
  Index sent_commit;

 private:
  struct Inflight {
    Index last;
    size_t bytes;
  };

  void BecomeReplicate(MonotonicTime now);

  State state_ = State::kProbe;
  // When it came to probing, or to sending ahead. A late or doubled answer to an append sent before
  // still tells what the follower holds, but changes no state: else such answers would turn it back
  // and forth, each time with a whole window sent anew, whose answers do the same.
  MonotonicTime since_ = kLongAgo;
  Index match_;
  // Invariant: match_ < next_.
  Index next_;
  // kProbe: an append is on its way.
  bool probe_sent_ = false;
  Index snapshot_;
  std::deque<Inflight> inflight_;
  size_t inflight_bytes_ = 0;
  // Messages that may be on their way, 1 to messages_max_. Halved when one was lost or overtaken,
  // since all behind it were sent in vain; one more with each that arrived.
  size_t window_;
  const size_t bytes_max_;
  const size_t messages_max_;
};

const char* ToString(Progress::State state);

}  // namespace kvd::raft
