// Who else is in the group, as a store last knew it: what it goes by when its Raft log, which would
// tell, is lost. Text, in the file PEERS of the data directory:
//
//   format 1
//   cluster, store, replica: whose file it is, one "name value" a line
//   member: replica, store, "voter" or "learner", address ("-": none known), a line each
//   checksum: crc32c, decimal, of the lines before it
//
// Always a little behind: a hint of whom to ask, never of what was decided. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/ids.h"

namespace kvd::server {

struct Peer {
  ReplicaId replica;
  StoreId store;
  bool voter = false;  // in either half of a joint configuration
  std::string address;

  bool operator==(const Peer&) const = default;
};

struct Peers {
  ClusterId cluster;
  StoreId store;
  ReplicaId replica;
  std::vector<Peer> members;

  bool operator==(const Peers&) const = default;
};

inline constexpr size_t kPeersBytesMax = 1 << 20;

std::string FormatPeers(const Peers& peers);
// DATA_LOSS if it is damaged or of a later version: then it tells nothing.
absl::StatusOr<Peers> ParsePeers(const std::string& text);

// Addresses of the others, those of voters first.
std::vector<std::string> AddressesOfOthers(const Peers& peers);

// Whether a store that lost its Raft log may go on as another replica by itself: not if it was the
// only voter, since nobody else has what it acknowledged, and not if it knows nobody to ask. The
// error says what is left to do. `asks`: stores to ask are known from elsewhere.
absl::Status MayJoinAnew(const std::optional<Peers>& peers, bool asks);

}  // namespace kvd::server
