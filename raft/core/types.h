// What the consensus core speaks in: entries, configurations, messages. Values without behaviour.
// Source: Ongaro, "Consensus: Bridging Theory and Practice", 2014 ("the thesis"), figures 3.1, 4.1.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "proto/disk_state.h"
#include "proto/ids.h"
#include "raft/runtime/time.h"

namespace kvd::raft {

enum class EntryType : uint8_t {
  kEmpty = 0,          // a new leader's first entry
  kCommand = 1,        // for the state machine
  kConfiguration = 2,  // data is an encoded Configuration
  // A place whose entry can't be read: never written, sent or applied. Its term is 0 if unknown.
  kDamaged = 3,
};

struct Entry {
  Term term;
  Index index;
  EntryType type = EntryType::kEmpty;
  std::string data;

  // What it counts for in limits, in bytes.
  size_t Bytes() const { return data.size() + 32; }
};

// Immutable once made, so the cache, messages in flight and the disk share one copy.
using EntryPtr = std::shared_ptr<const Entry>;

// A readable entry of which it is not known whether it was the last one written at its place. With
// the term before it, so that a chain of them is verified from its end (log matching).
struct Suspect {
  EntryPtr entry;
  Term previous;
};

// What must be on disk before a message that depends on it leaves. The commit index is a hint that
// shortens recovery; safety never depends on it.
struct HardState {
  Term term;
  ReplicaId vote;
  Index commit;

  bool operator==(const HardState&) const = default;
};

struct Member {
  ReplicaId replica;
  StoreId store;

  auto operator<=>(const Member&) const = default;
};

// Who decides. While `outgoing` is not empty the configuration is joint: a decision needs a
// majority of `voters` and one of `outgoing` (thesis, 4.3). Each list is sorted by replica id.
struct Configuration {
  std::vector<Member> voters;
  std::vector<Member> outgoing;
  std::vector<Member> learners;
  // Members that were put out by force when a majority was lost (Core::StandAlone). They may go on
  // by a log of their own: nothing that they say is heeded, ever.
  std::vector<ReplicaId> expelled = {};

  bool IsJoint() const { return !outgoing.empty(); }
  bool IsVoter(ReplicaId id) const;
  bool IsLearner(ReplicaId id) const;
  bool Contains(ReplicaId id) const { return IsVoter(id) || IsLearner(id); }
  bool IsExpelled(ReplicaId id) const;
  // Every member once, sorted.
  std::vector<Member> Members() const;
  // 0 if not a member.
  StoreId StoreOf(ReplicaId id) const;
  ReplicaId ReplicaOn(StoreId store) const;

  std::string Encode() const;
  // False, leaving `out` unspecified, if the bytes are malformed or name no possible configuration:
  // learners or outgoing voters without voters, an id of 0, a replica twice, an expelled member.
  static bool Decode(std::string_view bytes, Configuration* out);

  std::string ToString() const;
  bool operator==(const Configuration&) const = default;
};

// A point of the log that a state machine's state corresponds to.
struct SnapshotMeta {
  Index index;
  Term term;
  Configuration configuration;
};

enum class MessageType : uint8_t {
  kAppend = 1,
  kAppendReply = 2,
  kHeartbeat = 3,
  kHeartbeatReply = 4,
  kVote = 5,
  kVoteReply = 6,
  kPreVote = 7,
  kPreVoteReply = 8,
  kTimeoutNow = 9,  // start an election at once (thesis, 3.10)
  kRemoved = 10,    // the receiver is no longer a member
  // Bound to no term, since index and term together name an entry (log matching):
  kRepair = 11,  // asks for the entry at (index, log_term), and for what lies before it
  kRepairReply = 12,
};

// What a replica has to say of an entry that another one asks for.
enum class RepairAnswer : uint8_t {
  kNone = 0,
  kHas = 1,        // entries end with it
  kLacks = 2,      // its log has another one there, or none; entries are what it has instead
  kDamaged = 3,    // it can't read its own copy
  kCompacted = 4,  // its state has the effects, its log no longer the entry
};

const char* ToString(MessageType type);

struct Message {
  MessageType type = MessageType::kAppend;
  ReplicaId from;
  ReplicaId to;
  Term term;
  // Append: position before the first entry. Vote: the candidate's last entry. Reply to an append:
  // the highest index that is known to match, or the rejected position.
  Index index;
  Term log_term;
  std::vector<EntryPtr> entries;
  Index commit;  // of a reply to a repair: where the sender's log ends
  bool reject = false;
  // Of a rejected append: the last position that can match, and its term there. Of a repair: where
  // the asker's log begins to be in doubt. Of its reply: the entry that was asked for.
  Index hint_index;
  Term hint_term;
  RepairAnswer repair = RepairAnswer::kNone;
  // Of a heartbeat, echoed: orders ReadIndex rounds.
  uint64_t round = 0;
  // The leader's clock when it sent this round, echoed: the lease counts from here.
  MonotonicTime sent_at = kLongAgo;
  // The follower's clock when it sent its last reply, echoed in heartbeats; with closed_index it
  // proves that everything committed before that moment is at or below that index.
  MonotonicTime follower_sent_at = kLongAgo;
  uint64_t follower_life = 0;
  Index closed_index;
  // Of a follower's reply: it lost its state and asks for a snapshot.
  bool needs_state = false;
  // The sender's state is known to be damaged. A follower's reply: the number of its asking, if
  // it asks for leave to give the state up. A heartbeat: that of the receiver's, if it may. All are
  // the host's.
  bool state_damaged = false;
  uint64_t leave = 0;
  // A vote asked for by the leader itself; overrides its lease.
  bool transfer = false;
  // Sender's wall clock, milliseconds since the Unix epoch. For the state machine's timestamps.
  uint64_t wall_ms = 0;
  // The sending replica's store.
  StoreId from_store;
  // The room on that store's disk.
  DiskState disk = DiskState::kOk;
};

enum class Role : uint8_t { kFollower, kPreCandidate, kCandidate, kLeader };

const char* ToString(Role role);

}  // namespace kvd::raft
