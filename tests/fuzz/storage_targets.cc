// What the engine holds: keys and versions, and the store's own file.
#include <fstream>

#include "proto/check.h"
#include "proto/codec.h"
#include "proto/crc32c.h"
#include "raft/durable_file.h"
#include "raft/rocks_log_options.h"
#include "server/data_directory.h"
#include "server/peers.h"
#include "server/state_files.h"
#include "server/storage/mvcc_key.h"
#include "server/storage/version.h"
#include "tests/fuzz/target.h"
#include "tests/scratch_directory.h"

namespace kvd {
namespace {

KVD_FUZZ_TARGET(version) {
  auto version = storage::DecodeVersion(input);
  if (!version) return;
  std::string bytes = storage::Encode(*version);
  auto again = storage::DecodeVersion(bytes);
  KVD_CHECK(again && again->kind == version->kind && again->expiry == version->expiry);
  KVD_CHECK(again->value == version->value && again->outcome == version->outcome &&
            again->crc32c == version->crc32c);
}

// Any bytes as an engine key, and as two user keys.
KVD_FUZZ_TARGET(mvcc_key) {
  if (storage::IsVersionKey(input)) {
    auto user_key = storage::UserKeyOf(input);
    Timestamp timestamp = storage::TimestampOf(input);
    GroupId group = storage::GroupOf(input);
    if (user_key) KVD_CHECK(storage::VersionKey(group, *user_key, timestamp) == input);
  } else {
    KVD_CHECK(!storage::UserKeyOf(input));
  }
  Reader r(input);
  std::string a(r.Bytes());
  std::string b(r.rest());
  std::string engine_a = storage::VersionKey(GroupId(1), a, Timestamp(5));
  std::string engine_b = storage::VersionKey(GroupId(1), b, Timestamp(5));
  KVD_CHECK((a < b) == (engine_a < engine_b) && (a == b) == (engine_a == engine_b));
  KVD_CHECK(storage::UserKeyOf(engine_a) == a && storage::TimestampOf(engine_a) == Timestamp(5));
  KVD_CHECK(storage::IsVersionOf(storage::VersionsPrefix(GroupId(1), a), engine_a));
}

KVD_FUZZ_TARGET(data_directory) {
  auto identity = server::ParseIdentity(std::string(input));
  if (!identity.ok()) return;
  auto again = server::ParseIdentity(server::FormatIdentity(*identity));
  KVD_CHECK(again.ok() && again->state == identity->state && again->cluster == identity->cluster);
  KVD_CHECK(again->store == identity->store && again->nonce == identity->nonce);
  KVD_CHECK(again->lost == identity->lost);
}

// What is told of a group's members is told again the same, but for addresses that are no words.
KVD_FUZZ_TARGET(peers) {
  auto peers = server::ParsePeers(std::string(input));
  if (!peers.ok()) {
    // Most inputs have no right checksum: they are given one.
    std::string body(input);
    peers = server::ParsePeers(body + "checksum " + std::to_string(Crc32c(body)) + "\n");
  }
  if (!peers.ok()) return;
  auto again = server::ParsePeers(server::FormatPeers(*peers));
  KVD_CHECK(again.ok() && again->cluster == peers->cluster && again->store == peers->store);
  KVD_CHECK(again->members == peers->members && again->addresses == peers->addresses);
  auto once_more = server::ParsePeers(server::FormatPeers(*again));
  KVD_CHECK(once_more.ok() && *once_more == *again);
  for (const std::string& address : server::AddressesOfOthers(*again)) KVD_CHECK(!address.empty());
  (void)server::MayJoinAnew(*again, false);
}

// Any bytes in the small files that tell of damage; the first byte says which.
KVD_FUZZ_TARGET(state_notes) {
  static const auto* directory = new ScratchDirectory();
  if (input.empty()) return;
  uint8_t kind = static_cast<uint8_t>(input[0]);
  std::string text(input.substr(1));
  if (kind % 2 == 0) {
    std::ofstream(directory->path() + "/DAMAGED", std::ios::binary | std::ios::trunc) << text;
    auto note = kind % 4 == 0 ? server::StateFiles(directory->path()).Condemned()
                              : raft::NotedDamage(directory->path());
    KVD_CHECK(note && note->size() <= kNoteBytesMax && note->size() <= text.size());
    for (char c : *note) KVD_CHECK(c >= ' ' && c <= '~');
    return;
  }
  // Most inputs have no right checksum: they are given one.
  if (kind % 4 == 3) text += "checksum " + std::to_string(Crc32c(text)) + "\n";
  auto times = server::ParseRebuildTimes(text);
  if (times)
    KVD_CHECK(times->last.size() <= server::kRebuildTimesMax &&
              server::FormatRebuildTimes(*times) == text);
  std::ofstream(directory->path() + "/REBUILDS", std::ios::binary | std::ios::trunc) << text;
  auto record = server::StateFiles(directory->path()).Rebuilds(input.size());
  KVD_CHECK(record.total == (times ? times->total : 0) &&
            record.last_hour <= server::kRebuildTimesMax);
}

}  // namespace
}  // namespace kvd
