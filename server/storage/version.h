// The stored form of one version of a key:
//
//   version  = flags [writer] [expiry] [outcome] crc32c value
//   flags    = 1 B: kind (bits 0, 1), bit 2 writer, bit 3 expiry, bit 4 outcome
//   writer   = client id (8 B), sequence (varint)
//   expiry   = timestamp (8 B)
//   outcome  = length (varint), bytes: what the command answered, beyond what the versions tell
//   crc32c   = 4 B, over the user key, then the value; made by the writer
//
// Deletes are versions too. An outcome is a version that no read sees: it only tells a delayed
// attempt of its writer what became of the command.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "proto/ids.h"
#include "proto/timestamp.h"

namespace kvd::storage {

enum class VersionKind : uint8_t { kValue = 0, kTombstone = 1, kOutcome = 2 };

struct WriterId {
  ClientId client;
  Sequence sequence;

  explicit operator bool() const { return static_cast<bool>(client); }
  bool operator==(const WriterId&) const = default;
};

// Views into the bytes it was decoded from, or into what the encoder was given.
struct Version {
  VersionKind kind = VersionKind::kValue;
  WriterId writer;
  Timestamp expiry;  // 0: never
  std::string_view outcome;
  uint32_t crc32c = 0;
  std::string_view value;

  bool IsExpiredAt(Timestamp at) const { return expiry && at > expiry; }
  // Whether it gives a value to a reader at `at`, if it is the newest there.
  bool IsLiveAt(Timestamp at) const { return kind == VersionKind::kValue && !IsExpiredAt(at); }
};

std::string Encode(const Version& version);
// Empty if malformed. Does not check the checksum: see MvccReader.
std::optional<Version> DecodeVersion(std::string_view bytes);

}  // namespace kvd::storage
