// Who else is in the cluster and in the groups that a store has replicas of, as it last knew: what
// it goes by to find the others when it starts, and when its Raft log, which would tell, is lost.
// Text, in the file PEERS of the data directory:
//
//   format 2
//   cluster, store: whose file it is, one "name value" a line
//   address: store, host:port, a line each
//   member: group, replica, store, "voter" or "learner", a line each
//   checksum: crc32c, decimal, of the lines before it
//
// Always a little behind: a hint of whom to ask, never of what was decided. Pure.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/ids.h"

namespace kvd::server {

struct Peer {
  GroupId group;
  ReplicaId replica;
  StoreId store;
  bool voter = false;  // in either half of a joint configuration

  bool operator==(const Peer&) const = default;
};

struct Peers {
  ClusterId cluster;
  StoreId store;
  std::map<StoreId, std::string> addresses;
  std::vector<Peer> members;  // of the controller's group, and of those that the store is in

  bool operator==(const Peers&) const = default;
};

inline constexpr size_t kPeersBytesMax = 4 << 20;

std::string FormatPeers(const Peers& peers);
// DATA_LOSS if it is damaged or of another version: then it tells nothing.
absl::StatusOr<Peers> ParsePeers(const std::string& text);

// Addresses of the others, those of who is in a group with the store first.
std::vector<std::string> AddressesOfOthers(const Peers& peers);

// Whether a store that lost its Raft log may go on as another one by itself: not if it was the only
// voter of a group, since nobody else has what it acknowledged, and not if it knows nobody to ask.
// The error says what is left to do. `asks`: stores to ask are known from elsewhere.
absl::Status MayJoinAnew(const std::optional<Peers>& peers, bool asks);

}  // namespace kvd::server
