#include "server/storage/version.h"

#include "proto/codec.h"

namespace kvd::storage {
namespace {

constexpr uint8_t kKindMask = 0x03;
constexpr uint8_t kHasWriter = 0x04;
constexpr uint8_t kHasExpiry = 0x08;
constexpr uint8_t kHasOutcome = 0x10;
constexpr uint8_t kKnownFlags = kKindMask | kHasWriter | kHasExpiry | kHasOutcome;

}  // namespace

std::string Encode(const Version& v) {
  std::string out;
  out.reserve(v.value.size() + v.outcome.size() + 32);
  Writer writer(&out);
  writer.Byte(static_cast<uint8_t>(static_cast<uint8_t>(v.kind) | (v.writer ? kHasWriter : 0) |
                                   (v.expiry ? kHasExpiry : 0) |
                                   (v.outcome.empty() ? 0 : kHasOutcome)));
  if (v.writer) {
    writer.Fixed64(v.writer.client.value());
    writer.Varint(v.writer.sequence);
  }
  if (v.expiry) writer.Fixed64(v.expiry.value());
  if (!v.outcome.empty()) writer.Bytes(v.outcome);
  writer.Fixed32(v.crc32c);
  writer.Raw(v.value);
  return out;
}

std::optional<Version> DecodeVersion(std::string_view bytes) {
  Reader reader(bytes);
  Version v;
  uint8_t flags = reader.Byte();
  uint8_t kind = flags & kKindMask;
  if ((flags & ~kKnownFlags) != 0 || kind > static_cast<uint8_t>(VersionKind::kOutcome)) {
    return std::nullopt;
  }
  v.kind = static_cast<VersionKind>(kind);
  if ((flags & kHasWriter) != 0) {
    v.writer.client = ClientId(reader.Fixed64());
    v.writer.sequence = reader.Id<Sequence>();
  }
  if ((flags & kHasExpiry) != 0) v.expiry = Timestamp(reader.Fixed64());
  if ((flags & kHasOutcome) != 0) v.outcome = reader.Bytes();
  v.crc32c = reader.Fixed32();
  v.value = reader.rest();
  if (!reader.ok()) return std::nullopt;
  return v;
}

}  // namespace kvd::storage
