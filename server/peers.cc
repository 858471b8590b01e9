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

constexpr uint64_t kFormat = 2;
constexpr char kChecksum[] = "checksum ";

absl::Status Damaged() { return absl::DataLossError("its file PEERS is damaged"); }

// An address may be anything; what is no word is left out.
bool IsWord(const std::string& address) {
  return !address.empty() && address.size() <= kAddressBytesMax &&
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

bool TakeAddress(std::istringstream& in, Peers* peers) {
  StoreId store;
  std::string address;
  if (!TakeId(in, &store) || !(in >> address) || !IsWord(address)) return false;
  return peers->addresses.emplace(store, address).second;
}

bool TakeMember(std::istringstream& in, Peers* peers) {
  Peer peer;
  std::string role;
  if (!TakeId(in, &peer.group) || !TakeId(in, &peer.replica) || !TakeId(in, &peer.store) ||
      !(in >> role))
    return false;
  if (role != "voter" && role != "learner") return false;
  peer.voter = role == "voter";
  peers->members.push_back(peer);
  return true;
}

}  // namespace

std::string FormatPeers(const Peers& peers) {
  std::string text = absl::StrCat("format ", kFormat, "\ncluster ", peers.cluster.value(),
                                  "\nstore ", peers.store.value(), "\n");
  for (const auto& [store, address] : peers.addresses) {
    if (IsWord(address)) absl::StrAppend(&text, "address ", store.value(), " ", address, "\n");
  }
  for (const Peer& peer : peers.members) {
    absl::StrAppend(&text, "member ", peer.group.value(), " ", peer.replica.value(), " ",
                    peer.store.value(), peer.voter ? " voter\n" : " learner\n");
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
    if (name == "address") ok = TakeAddress(in, &peers);
    if (name == "member") ok = TakeMember(in, &peers);
    if (!ok) return Damaged();
  }
  if (format != kFormat || !peers.cluster || !peers.store) return Damaged();
  return peers;
}

std::vector<std::string> AddressesOfOthers(const Peers& peers) {
  std::vector<std::string> addresses;
  auto add = [&](StoreId store) {
    auto known = peers.addresses.find(store);
    if (store == peers.store || known == peers.addresses.end()) return;
    if (std::find(addresses.begin(), addresses.end(), known->second) != addresses.end()) return;
    addresses.push_back(known->second);
  };
  for (const Peer& peer : peers.members) add(peer.store);
  for (const auto& [store, address] : peers.addresses) add(store);
  return addresses;
}

absl::Status MayJoinAnew(const std::optional<Peers>& peers, bool asks) {
  if (peers) {
    std::map<GroupId, std::pair<bool, bool>> votes;  // the store's own, and anybody else's
    for (const Peer& peer : peers->members) {
      if (!peer.voter) continue;
      (peer.store == peers->store ? votes[peer.group].first : votes[peer.group].second) = true;
    }
    for (const auto& [group, who] : votes) {
      if (!who.first || who.second) continue;
      return absl::DataLossError(absl::StrCat(
          "it was the only voter of group ", group.value(),
          ", so nobody else has what it acknowledged: restore the directory from a backup"));
    }
    asks = asks || !AddressesOfOthers(*peers).empty();
  }
  if (asks) return absl::OkStatus();
  return absl::DataLossError(
      "and who else is in its cluster is not known: start it with --join HOST:PORT of another "
      "store");
}

}  // namespace kvd::server
