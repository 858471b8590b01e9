// Bringing a group back from one replica after a majority was lost for good: the one operation that
// Raft has no proof for. What it gives up, and why nobody who is put out can do harm: README.md.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "proto/check.h"
#include "raft/core/core.h"

namespace kvd::raft {
namespace {

absl::Status No(const std::string& why) { return absl::FailedPreconditionError(why); }

}  // namespace

// Who refuses a vote may have to, for good: it is damaged. One that can lead asks for votes itself.
void Core::NoteHeard(const Message& m) {
  bool repair = m.type == MessageType::kRepair || m.type == MessageType::kRepairReply;
  bool vote_reply = m.type == MessageType::kVoteReply || m.type == MessageType::kPreVoteReply;
  if (IsLeader() || repair || (vote_reply && m.reject) || !configuration().IsVoter(m.from)) return;
  heard_[m.from] = now_;
}

absl::Status Core::MayStandAlone(MonotonicTime now) const {
  if (removed_) return No("the replica was removed from its group");
  if (IsLeader()) return No("the replica leads its group: there is a majority");
  if (!configuration().Contains(id_)) return No("the replica is no member of its group yet");
  if (NeedsRepair()) {
    return No(absl::StrCat("entry ", damaged_.rbegin()->value(),
                           " of the replica's log is damaged and waits to be repaired"));
  }
  if (NeedsState()) return No("the replica's state is missing and waits for a snapshot");
  auto millis = [](Duration d) { return std::chrono::duration_cast<milliseconds>(d).count(); };
  Duration wanted = kSilentTimeouts * options_.election_timeout_min;
  Duration silence = now - std::max({leader_contact_, started_at_, led_since_});
  if (silence < wanted) {
    return No(absl::StrCat("a leader may be there yet: the replica has heard none for ",
                           millis(silence), " ms, and waits for ", millis(wanted), " ms"));
  }
  bool majority = QuorumValue(configuration(), [&](ReplicaId id) {
    auto heard = heard_.find(id);
    return id == id_ || (heard != heard_.end() && now - heard->second < wanted);
  });
  if (!majority) return absl::OkStatus();
  std::string who;
  for (const auto& [id, at] : heard_) {
    if (now - at < wanted) absl::StrAppend(&who, who.empty() ? "" : ", ", id.value());
  }
  return No(absl::StrCat("the group has a majority: with replicas that were heard of (",
                         who.empty() ? "none is needed" : who, ") it can elect a leader"));
}

absl::StatusOr<Index> Core::StandAlone(MonotonicTime now, Index last_index, Term last_term) {
  SetNow(now);
  absl::Status may = MayStandAlone(now);
  if (!may.ok()) return may;
  if (log_.last_index() != last_index || log_.last_term() != last_term) {
    return No(absl::StrCat("the log ends at index ", log_.last_index().value(), " of term ",
                           log_.last_term().value(), ", not at index ", last_index.value(),
                           " of term ", last_term.value()));
  }
  Configuration alone;
  alone.voters = {{id_, configuration().StoreOf(id_)}};
  alone.expelled = configuration().expelled;
  // Those too that an entry which is not committed yet brought in or put out.
  for (const ConfigurationAtIndex& c : configurations_) {
    for (const Member& m : c.configuration.Members()) {
      if (m.replica != id_) alone.expelled.push_back(m.replica);
    }
  }
  std::sort(alone.expelled.begin(), alone.expelled.end());
  alone.expelled.erase(std::unique(alone.expelled.begin(), alone.expelled.end()),
                       alone.expelled.end());
  BecomeFollower(term() + kTermsSkipped, ReplicaId());
  hard_state_.vote = id_;
  role_ = Role::kCandidate;
  BecomeLeader(EntryType::kConfiguration, alone.Encode());
  AdoptConfiguration(log_.last_index(), std::move(alone));
  heard_.clear();
  return log_.last_index();
}

// Whoever was put out is told, by any replica: it may have been started again and know nothing.
// Only once the entry that put it out is on disk, else that might yet be forgotten.
void Core::RefuseExpelled(const Message& m) {
  bool asks = m.type == MessageType::kPreVote || m.type == MessageType::kVote ||
              m.type == MessageType::kAppend || m.type == MessageType::kHeartbeat ||
              m.type == MessageType::kRepair;
  if (!asks) return;
  Message reply = Envelope(MessageType::kRemoved, m.from);
  reply.term = std::max(term(), m.term);
  SendAfterPersist(std::move(reply));
}

}  // namespace kvd::raft
