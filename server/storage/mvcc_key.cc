#include "server/storage/mvcc_key.h"

#include "proto/check.h"
#include "proto/codec.h"

namespace kvd::storage {
namespace {

void AppendEscaped(std::string* out, std::string_view user_key) {
  for (char c : user_key) {
    out->push_back(c);
    if (c == '\0') out->push_back('\xff');
  }
  out->push_back('\0');
  out->push_back('\x01');
}

}  // namespace

std::string SpacePrefix(GroupId group, Space space) {
  KVD_CHECK(group.value() <= kGroupIdMax);
  std::string out;
  Writer writer(&out);
  writer.Fixed32(static_cast<uint32_t>(group.value()));
  writer.Byte(static_cast<uint8_t>(space));
  return out;
}

std::pair<std::string, std::string> GroupBounds(GroupId group) {
  std::string begin = SpacePrefix(group, Space::kVersions).substr(0, 4);
  return {begin, PrefixEnd(begin)};
}

std::string MetaKey(GroupId group, std::string_view name) {
  return SpacePrefix(group, Space::kMeta).append(name);
}

std::string VersionsPrefix(GroupId group, std::string_view user_key) {
  std::string out = SpacePrefix(group, Space::kVersions);
  out.reserve(out.size() + user_key.size() + 2 + kTimestampBytes);
  AppendEscaped(&out, user_key);
  return out;
}

void AppendTimestamp(std::string* prefix, Timestamp timestamp) {
  Writer(prefix).Fixed64(~timestamp.value());
}

std::string VersionKey(GroupId group, std::string_view user_key, Timestamp timestamp) {
  std::string out = VersionsPrefix(group, user_key);
  AppendTimestamp(&out, timestamp);
  return out;
}

std::pair<std::string, std::string> VersionBounds(GroupId group, const KeyRange& range) {
  std::string begin = VersionsPrefix(group, range.start);
  std::string end = range.end.empty() ? PrefixEnd(SpacePrefix(group, Space::kVersions))
                                      : VersionsPrefix(group, range.end);
  return {std::move(begin), std::move(end)};
}

Timestamp TimestampOf(std::string_view version_key) {
  return Timestamp(~Reader(version_key.substr(version_key.size() - kTimestampBytes)).Fixed64());
}

bool IsVersionKey(std::string_view engine_key) {
  return engine_key.size() >= kSpacePrefixBytes + 2 + kTimestampBytes &&
         static_cast<uint8_t>(engine_key[4]) == static_cast<uint8_t>(Space::kVersions);
}

GroupId GroupOf(std::string_view engine_key) { return GroupId(Reader(engine_key).Fixed32()); }

std::optional<std::string> UserKeyOf(std::string_view version_key) {
  if (!IsVersionKey(version_key)) return std::nullopt;
  std::string_view escaped = PrefixOf(version_key).substr(kSpacePrefixBytes);
  std::string out;
  out.reserve(escaped.size());
  for (size_t i = 0; i < escaped.size(); ++i) {
    if (escaped[i] != '\0') {
      out.push_back(escaped[i]);
      continue;
    }
    if (++i == escaped.size()) return std::nullopt;
    if (escaped[i] == '\x01') {
      if (i + 1 != escaped.size()) return std::nullopt;
      return out;
    }
    if (escaped[i] != '\xff') return std::nullopt;
    out.push_back('\0');
  }
  return std::nullopt;
}

}  // namespace kvd::storage
