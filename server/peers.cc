#include "server/peers.h"

#include <algorithm>
#include <cctype>
#include <sstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "proto/crc32c.h"
#include "proto/limits.h"

namespace kvd::server {
namespace {

constexpr uint64_t kFormat = 1;
constexpr char kChecksum[] = "checksum ";
constexpr char kNoAddress[] = "-";

absl::Status Damaged() { return absl::DataLossError("its file PEERS is damaged"); }

// An address of the registry may be anything; what is no word is left out.
bool IsWord(const std::string& address) {
  return !address.empty() && address.size() <= kAddressBytesMax && address != kNoAddress &&
         std::all_of(address.begin(), address.end(),
                     [](unsigned char c) { return std::isgraph(c) != 0; });
}

template <class Id>
bool TakeId(std::istringstream& in, Id* id) {
  std::string word;
  uint64_t value = 0;
  if (!(in >> word) || !absl::SimpleAtoi(word, &value) || value == 0) return false;
  *id = Id(value);
  return true;
}

bool TakeMember(std::istringstream& in, Peers* peers) {
  Peer peer;
  std::string role;
  if (!TakeId(in, &peer.replica) || !TakeId(in, &peer.store) || !(in >> role >> peer.address))
    return false;
  if (role != "voter" && role != "learner") return false;
  peer.voter = role == "voter";
  if (peer.address == kNoAddress) peer.address.clear();
  peers->members.push_back(std::move(peer));
  return true;
}

}  // namespace

std::string FormatPeers(const Peers& peers) {
  std::string text =
      absl::StrCat("format ", kFormat, "\ncluster ", peers.cluster.value(), "\nstore ",
                   peers.store.value(), "\nreplica ", peers.replica.value(), "\n");
  for (const Peer& peer : peers.members) {
    absl::StrAppend(&text, "member ", peer.replica.value(), " ", peer.store.value(),
                    peer.voter ? " voter " : " learner ",
                    IsWord(peer.address) ? peer.address : kNoAddress, "\n");
  }
  return absl::StrCat(text, kChecksum, Crc32c(text), "\n");
}

absl::StatusOr<Peers> ParsePeers(const std::string& text) {
  size_t end = text.rfind(kChecksum);
  if (text.size() > kPeersBytesMax || end == std::string::npos) return Damaged();
  std::string body = text.substr(0, end);
  if (text.substr(end) != absl::StrCat(kChecksum, Crc32c(body), "\n")) return Damaged();
  Peers peers;
  std::istringstream in(body);
  std::string name;
  uint64_t format = 0;
  while (in >> name) {
    bool ok = false;
    if (name == "format") ok = static_cast<bool>(in >> format);
    if (name == "cluster") ok = TakeId(in, &peers.cluster);
    if (name == "store") ok = TakeId(in, &peers.store);
    if (name == "replica") ok = TakeId(in, &peers.replica);
    if (name == "member") ok = TakeMember(in, &peers);
    if (!ok) return Damaged();
  }
  if (format != kFormat || !peers.cluster || !peers.store || !peers.replica) return Damaged();
  return peers;
}

std::vector<std::string> AddressesOfOthers(const Peers& peers) {
  std::vector<std::string> addresses;
  for (bool voter : {true, false}) {
    for (const Peer& peer : peers.members) {
      if (peer.voter != voter || peer.store == peers.store || peer.address.empty()) continue;
      addresses.push_back(peer.address);
    }
  }
  return addresses;
}

absl::Status MayJoinAnew(const std::optional<Peers>& peers, bool asks) {
  if (peers) {
    bool others = std::any_of(peers->members.begin(), peers->members.end(), [&](const Peer& peer) {
      return peer.voter && peer.replica != peers->replica;
    });
    bool votes = std::any_of(peers->members.begin(), peers->members.end(), [&](const Peer& peer) {
      return peer.voter && peer.replica == peers->replica;
    });
    if (votes && !others) {
      return absl::DataLossError(
          "it was the only voter, so nobody else has what it acknowledged: restore the directory "
          "from a backup");
    }
    asks = asks || !AddressesOfOthers(*peers).empty();
  }
  if (asks) return absl::OkStatus();
  return absl::DataLossError(
      "and who else is in its cluster is not known: start it with --join HOST:PORT of another "
      "store");
}

}  // namespace kvd::server
