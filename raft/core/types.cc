#include "raft/core/types.h"

#include <algorithm>

#include "proto/codec.h"

namespace kvd::raft {
namespace {

bool Has(const std::vector<Member>& members, ReplicaId id) {
  return std::any_of(members.begin(), members.end(),
                     [&](const Member& m) { return m.replica == id; });
}

void EncodeMembers(Writer& writer, const std::vector<Member>& members) {
  writer.Varint(members.size());
  for (const Member& m : members) {
    writer.Varint(m.replica);
    writer.Varint(m.store);
  }
}

std::vector<Member> DecodeMembers(Reader& reader) {
  std::vector<Member> members(reader.Count());
  for (Member& m : members) {
    m.replica = reader.Id<ReplicaId>();
    m.store = reader.Id<StoreId>();
  }
  return members;
}

// Whether the list is sorted, without a replica twice, and each member has both its ids.
bool WellFormed(const std::vector<Member>& members) {
  ReplicaId previous;
  for (const Member& m : members) {
    if (m.replica <= previous || !m.store) return false;
    previous = m.replica;
  }
  return true;
}

// Sorted, none of them a member; absent if there are none.
bool DecodeExpelled(Reader& reader, Configuration* out) {
  out->expelled.clear();
  if (!reader.ok() || reader.Done()) return true;
  out->expelled.resize(reader.Count());
  if (out->expelled.empty()) return false;
  ReplicaId previous;
  for (ReplicaId& id : out->expelled) {
    id = reader.Id<ReplicaId>();
    if (id <= previous || out->Contains(id)) return false;
    previous = id;
  }
  return true;
}

std::string ListOf(const std::vector<Member>& members) {
  std::string out;
  for (const Member& m : members) out += (out.empty() ? "" : " ") + m.replica.ToString();
  return out;
}

}  // namespace

bool Configuration::IsVoter(ReplicaId id) const { return Has(voters, id) || Has(outgoing, id); }
bool Configuration::IsLearner(ReplicaId id) const { return Has(learners, id); }

bool Configuration::IsExpelled(ReplicaId id) const {
  return std::binary_search(expelled.begin(), expelled.end(), id);
}

std::vector<Member> Configuration::Members() const {
  std::vector<Member> all = voters;
  all.insert(all.end(), outgoing.begin(), outgoing.end());
  all.insert(all.end(), learners.begin(), learners.end());
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

StoreId Configuration::StoreOf(ReplicaId id) const {
  for (const auto* members : {&voters, &outgoing, &learners}) {
    for (const Member& m : *members) {
      if (m.replica == id) return m.store;
    }
  }
  return StoreId();
}

ReplicaId Configuration::ReplicaOn(StoreId store) const {
  for (const Member& m : Members()) {
    if (m.store == store) return m.replica;
  }
  return ReplicaId();
}

std::string Configuration::Encode() const {
  std::string out;
  Writer writer(&out);
  EncodeMembers(writer, voters);
  EncodeMembers(writer, outgoing);
  EncodeMembers(writer, learners);
  // Of most groups there are none, and nothing is said.
  if (!expelled.empty()) {
    writer.Varint(expelled.size());
    for (ReplicaId id : expelled) writer.Varint(id);
  }
  return out;
}

bool Configuration::Decode(std::string_view bytes, Configuration* out) {
  Reader reader(bytes);
  out->voters = DecodeMembers(reader);
  out->outgoing = DecodeMembers(reader);
  out->learners = DecodeMembers(reader);
  if (!DecodeExpelled(reader, out)) return false;
  if (!reader.Done() || !WellFormed(out->voters) || !WellFormed(out->outgoing) ||
      !WellFormed(out->learners)) {
    return false;
  }
  // Only a replica that is yet to join a group knows of no voter, and then of nobody.
  if (out->voters.empty() && (!out->outgoing.empty() || !out->learners.empty())) return false;
  if (std::any_of(out->learners.begin(), out->learners.end(),
                  [&](const Member& m) { return out->IsVoter(m.replica); })) {
    return false;
  }
  // On one store each, also in both of the joint voters.
  std::vector<Member> all = out->Members();
  return std::adjacent_find(all.begin(), all.end(), [](const Member& a, const Member& b) {
           return a.replica == b.replica;
         }) == all.end();
}

std::string Configuration::ToString() const {
  std::string out = "voters(" + ListOf(voters) + ")";
  if (IsJoint()) out += " outgoing(" + ListOf(outgoing) + ")";
  if (!learners.empty()) out += " learners(" + ListOf(learners) + ")";
  if (!expelled.empty()) {
    out += " expelled(";
    for (ReplicaId id : expelled) out += (id == expelled.front() ? "" : " ") + id.ToString();
    out += ")";
  }
  return out;
}

const char* ToString(MessageType type) {
  switch (type) {
    case MessageType::kAppend: return "Append";
    case MessageType::kAppendReply: return "AppendReply";
    case MessageType::kHeartbeat: return "Heartbeat";
    case MessageType::kHeartbeatReply: return "HeartbeatReply";
    case MessageType::kVote: return "Vote";
    case MessageType::kVoteReply: return "VoteReply";
    case MessageType::kPreVote: return "PreVote";
    case MessageType::kPreVoteReply: return "PreVoteReply";
    case MessageType::kTimeoutNow: return "TimeoutNow";
    case MessageType::kRemoved: return "Removed";
    case MessageType::kRepair: return "Repair";
    case MessageType::kRepairReply: return "RepairReply";
  }
  return "Unknown";
}

const char* ToString(Role role) {
  switch (role) {
    case Role::kFollower: return "follower";
    case Role::kPreCandidate: return "pre-candidate";
    case Role::kCandidate: return "candidate";
    case Role::kLeader: return "leader";
  }
  return "unknown";
}

}  // namespace kvd::raft
