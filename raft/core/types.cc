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

std::string ListOf(const std::vector<Member>& members) {
  std::string out;
  for (const Member& m : members) out += (out.empty() ? "" : " ") + m.replica.ToString();
  return out;
}

}  // namespace

bool Configuration::IsVoter(ReplicaId id) const { return Has(voters, id) || Has(outgoing, id); }
bool Configuration::IsLearner(ReplicaId id) const { return Has(learners, id); }

std::vector<Member> Configuration::Members() const {
  std::vector<Member> all = voters;
  all.insert(all.end(), outgoing.begin(), outgoing.end());
  all.insert(all.end(), learners.begin(), learners.end());
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

StoreId Configuration::StoreOf(ReplicaId id) const {
  for (const Member& m : Members()) {
    if (m.replica == id) return m.store;
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
  return out;
}

bool Configuration::Decode(std::string_view bytes, Configuration* out) {
  Reader reader(bytes);
  out->voters = DecodeMembers(reader);
  out->outgoing = DecodeMembers(reader);
  out->learners = DecodeMembers(reader);
  return reader.Done();
}

std::string Configuration::ToString() const {
  std::string out = "voters(" + ListOf(voters) + ")";
  if (IsJoint()) out += " outgoing(" + ListOf(outgoing) + ")";
  if (!learners.empty()) out += " learners(" + ListOf(learners) + ")";
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
