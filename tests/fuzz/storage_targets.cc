// What the engine holds: keys and versions, and the store's own file.
#include "proto/check.h"
#include "proto/codec.h"
#include "server/data_directory.h"
#include "server/storage/mvcc_key.h"
#include "server/storage/version.h"
#include "tests/fuzz/target.h"

namespace kvd {
namespace {

KVD_FUZZ_TARGET(version) {
  auto version = storage::DecodeVersion(input);
  if (!version) return;
  std::string bytes = storage::Encode(*version);
  auto again = storage::DecodeVersion(bytes);
  KVD_CHECK(again && again->kind == version->kind && again->expiry == version->expiry);
  KVD_CHECK(again->value == version->value && again->outcome == version->outcome && again->crc32c == version->crc32c);
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
  KVD_CHECK(again->store == identity->store && again->replica == identity->replica && again->nonce == identity->nonce);
}

}  // namespace
}  // namespace kvd
