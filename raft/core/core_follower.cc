// Following a leader: append, heartbeat, commit (thesis, 3.5).
#include "proto/check.h"
#include "raft/core/core.h"

namespace kvd::raft {

void Core::HandleAppend(const Message& m) {
  KVD_CHECK(role_ != Role::kLeader);  // one leader a term (thesis, figure 3.2: election safety)
  if (role_ != Role::kFollower || leader_ != m.from) BecomeFollower(m.term, m.from);
  leader_contact_ = now_;
  ResetElectionTimer();
  if (NeedsRepair()) return;  // what the log holds can't be told
  Message reply = Envelope(MessageType::kAppendReply, m.from);
  reply.sent_at = m.sent_at;
  reply.round = m.round;
  reply.follower_sent_at = now_;
  reply.follower_life = life_;
  reply.needs_state = NeedsState();
  if (m.index < commit_index()) {
    // Committed entries always match: tell the leader how far.
    reply.index = commit_index();
  } else if (log_.Matches(m.index, m.log_term)) {
    reply.index = AppendEntries(m);
    CommitTo(std::min(m.commit, reply.index));
  } else {
    reply.reject = true;
    reply.index = m.index;
    reply.hint_index = log_.FindConflict(m.index, m.log_term);
    reply.hint_term = log_.TermAt(reply.hint_index).value_or(Term());
  }
  SendAfterPersist(std::move(reply));
}

// Requires: the entry before m's first one matches. Returns the highest index known to match.
Index Core::AppendEntries(const Message& m) {
  for (const EntryPtr& entry : m.entries) {
    if (entry->index <= log_.last_index()) {
      if (log_.Matches(entry->index, entry->term)) continue;  // held already
      KVD_CHECK(entry->index > commit_index());  // committed entries are never replaced
      log_.TruncateFrom(entry->index);
      DropConfigurationsFrom(entry->index);
      while (!output_.entries.empty() && output_.entries.back()->index >= entry->index) {
        output_.entries.pop_back();
      }
    }
    log_.Append(entry);
    output_.entries.push_back(entry);
    if (entry->type == EntryType::kConfiguration) {
      Configuration configuration;
      KVD_CHECK(Configuration::Decode(entry->data, &configuration));
      AdoptConfiguration(entry->index, std::move(configuration));
    }
  }
  return m.entries.empty() ? m.index : m.entries.back()->index;
}

void Core::HandleHeartbeat(const Message& m) {
  KVD_CHECK(role_ != Role::kLeader);
  if (role_ != Role::kFollower || leader_ != m.from) BecomeFollower(m.term, m.from);
  leader_contact_ = now_;
  ResetElectionTimer();
  // The leader never sends a commit index beyond what this replica is known to hold.
  CommitTo(std::min(m.commit, log_.last_index()));
  NoteFreshness(m);
  Message reply = Envelope(MessageType::kHeartbeatReply, m.from);
  reply.sent_at = m.sent_at;
  reply.round = m.round;
  reply.follower_sent_at = now_;
  reply.follower_life = life_;
  reply.needs_state = NeedsState() || repair_by_snapshot_;
  // This says who is heard, and promises not to vote, which a restarted replica keeps without
  // knowing it (no_votes_before_): only the term must be on disk. Behind the log's writes it would
  // tell a leader of busy disks that its followers are gone.
  durable_term_ == term() ? Send(std::move(reply)) : SendAfterPersist(std::move(reply));
}

void Core::NoteFreshness(const Message& m) {
  if (!m.closed_index || m.follower_life != life_ || m.follower_sent_at <= fresh_as_of_) return;
  if (applied_ >= m.closed_index) {
    fresh_as_of_ = m.follower_sent_at;
  } else if (!fresh_pending_index_) {
    fresh_pending_index_ = m.closed_index;
    fresh_pending_ = m.follower_sent_at;
  }
}

void Core::CommitTo(Index index) {
  if (index <= commit_index()) return;
  KVD_CHECK(index <= log_.last_index());
  hard_state_.commit = index;
  OnCommittedConfiguration();
}

}  // namespace kvd::raft
