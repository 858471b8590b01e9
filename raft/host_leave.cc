// Who may give up a damaged state to fetch another one: one replica of a group at a time, by leave
// of the leader (README.md). A leave is worth nothing in another term, and only replicas that were
// heard in the leader's own term count: so what an earlier leader allowed, and this one does not
// know of, can't come to pass any more.
#include <algorithm>

#include "raft/host_group.h"

namespace kvd::raft {

namespace {

constexpr Duration kHeardWithin = std::chrono::seconds(1);

bool IsFollowersReply(const Message& m) {
  return m.type == MessageType::kAppendReply || m.type == MessageType::kHeartbeatReply;
}

}  // namespace

bool Host::AskLeave(GroupId id) {
  Group* group = Find(id);
  if (group == nullptr) return false;
  group->asks_leave = true;
  const Core& core = *group->core;
  return core.leader() && core.leader() != core.id() && group->leave_term == core.term();
}

void Host::TakeBackAsking(GroupId id) {
  Group* group = Find(id);
  if (group == nullptr || !group->asks_leave) return;
  group->asks_leave = false;
  group->leave_term = Term();
  ++group->asks_taken_back;
}

bool Host::MayHaveState(GroupId id, ReplicaId peer) const {
  const Group* group = Find(id);
  auto progress = group->core->progress().find(peer);
  if (progress == group->core->progress().end() || progress->second.needs_state) return false;
  const Group::Peer* known = group->Known(peer);
  return known == nullptr || !known->damaged;
}

// Null if it was not heard in this term. Of use only while this replica leads.
const Host::Group::Peer* Host::Group::Known(ReplicaId peer) const {
  auto it = peers.find(peer);
  return it == peers.end() || it->second.term != core->term() ? nullptr : &it->second;
}

void Host::TellOfState(Group& group, Message* m) const {
  m->state_damaged = state_damaged_;
  if (m->type == MessageType::kHeartbeat) m->leave = LeaveFor(group, *m);
  if (IsFollowersReply(*m) && group.asks_leave) m->leave = group.AskNumber();
}

void Host::HearOfState(Group& group, const Message& m) {
  const Core& core = *group.core;
  if (m.term != core.term()) return;
  if (m.type == MessageType::kHeartbeat && core.leader() == m.from && group.asks_leave &&
      m.leave == group.AskNumber()) {
    group.leave_term = m.term;
  }
  if (!IsFollowersReply(m) || !core.progress().contains(m.from)) return;
  Group::Peer& peer = group.peers[m.from];
  if (peer.term == m.term && m.sent_at < peer.sent_at) return;  // overtaken
  peer = {m.term,          m.sent_at,     loop_->Now(),   m.leave,
          m.follower_life, m.needs_state, m.state_damaged};
  Group::Leave& leave = group.leave;
  if (leave.to != m.from || m.sent_at <= leave.given_at) return;
  // It has started again since, and needs nothing any more; or it asks no longer, or anew.
  bool back = m.follower_life != leave.life && !m.needs_state;
  bool taken_back = m.follower_life == leave.life && m.leave != leave.number;
  if (back || taken_back) leave = {};
}

// 0, or the number of the receiver's asking, if it may give its state up.
uint64_t Host::LeaveFor(Group& group, const Message& heartbeat) const {
  const Core& core = *group.core;
  if (!core.IsLeader() || core.term() != heartbeat.term || !core.KnowsCommitted()) return 0;
  if (state_damaged_ || group.halted || core.configuration().IsJoint()) return 0;
  Group::Leave& leave = group.leave;
  if (leave.term != core.term() || !core.progress().contains(leave.to)) leave = {};
  const Group::Peer* peer = group.Known(heartbeat.to);
  if (peer == nullptr || peer->asks == 0 || peer->needs_state) return 0;
  if (leave.to) return leave.to == heartbeat.to && leave.number == peer->asks ? leave.number : 0;
  if (!OthersHaveState(group, heartbeat.to)) return 0;
  leave = {core.term(), heartbeat.to, peer->asks, peer->life, heartbeat.sent_at};
  return leave.number;
}

// A majority of the voters, or all of those that are left.
bool Host::OthersHaveState(const Group& group, ReplicaId without) const {
  const Core& core = *group.core;
  const Configuration& configuration = core.configuration();
  auto has_it = [&](const Member& m) {
    if (m.replica == without) return false;
    if (m.replica == core.id()) return true;
    const Group::Peer* peer = group.Known(m.replica);
    if (peer == nullptr || peer->needs_state) return false;
    // One that lags behind the log needs a snapshot itself.
    return loop_->Now() - peer->heard_at < kHeardWithin &&
           core.progress().at(m.replica).match() >= core.log().start();
  };
  auto have = std::count_if(configuration.voters.begin(), configuration.voters.end(), has_it);
  auto voters = static_cast<ptrdiff_t>(configuration.voters.size());
  return have >= std::min(voters / 2 + 1, voters - (configuration.IsVoter(without) ? 1 : 0));
}

}  // namespace kvd::raft
