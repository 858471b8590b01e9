#include "raft/log_codec.h"

#include "proto/codec.h"
#include "proto/crc32c.h"

namespace kvd::raft {
namespace {

constexpr size_t kPrefixBytes = 5;
constexpr size_t kEntryKeyBytes = kPrefixBytes + 8;

uint32_t EntryCrc(std::string_view key, const Entry& entry, Term previous) {
  std::string head(key);
  Writer w(&head);
  w.Varint(entry.term);
  w.Varint(previous);
  w.Byte(static_cast<uint8_t>(entry.type));
  return Crc32c(entry.data, Crc32c(head));
}

}  // namespace

std::string LogKey(GroupId group, LogKind kind) {
  std::string key;
  Writer w(&key);
  w.Fixed32(static_cast<uint32_t>(group.value()));
  w.Byte(static_cast<uint8_t>(kind));
  return key;
}

std::string EntryKey(GroupId group, Index index) {
  std::string key = LogKey(group, LogKind::kEntry);
  Writer(&key).Fixed64(index.value());
  return key;
}

bool ParseLogKey(std::string_view key, GroupId* group, LogKind* kind, Index* index) {
  if (key.size() < kPrefixBytes) return false;
  *group = GroupId(Reader(key).Fixed32());
  *kind = static_cast<LogKind>(key[4]);
  if (*kind == LogKind::kMeta || *kind == LogKind::kState) return key.size() == kPrefixBytes;
  if (*kind != LogKind::kEntry || key.size() != kEntryKeyBytes) return false;
  *index = Index(Reader(key.substr(kPrefixBytes)).Fixed64());
  return true;
}

std::string EncodeMeta(const GroupRecord& record) {
  std::string out;
  Writer w(&out);
  w.Varint(record.meta_version);
  w.Varint(record.replica);
  w.Varint(record.start.index);
  w.Varint(record.start.term);
  w.Byte(record.removed);
  w.Bytes(record.start.configuration.Encode());
  return out;
}

bool DecodeMeta(std::string_view bytes, GroupRecord* record) {
  Reader r(bytes);
  record->meta_version = r.Varint();
  record->replica = r.Id<ReplicaId>();
  record->start.index = r.Id<Index>();
  record->start.term = r.Id<Term>();
  record->removed = r.Byte() != 0;
  std::string_view configuration = r.Bytes();
  return r.Done() && Configuration::Decode(configuration, &record->start.configuration);
}

std::string EncodeState(const GroupRecord& record) {
  std::string out;
  Writer w(&out);
  w.Varint(record.version);
  w.Varint(record.meta_version);
  w.Varint(record.hard_state.term);
  w.Varint(record.hard_state.vote);
  w.Varint(record.hard_state.commit);
  w.Varint(record.last);
  w.Varint(record.last_term);
  return out;
}

bool DecodeState(std::string_view bytes, GroupRecord* record) {
  Reader r(bytes);
  record->version = r.Varint();
  record->meta_version = r.Varint();
  record->hard_state.term = r.Id<Term>();
  record->hard_state.vote = r.Id<ReplicaId>();
  record->hard_state.commit = r.Id<Index>();
  record->last = r.Id<Index>();
  record->last_term = r.Id<Term>();
  return r.Done();
}

std::string EncodeRecord(const GroupRecord& record) {
  std::string out;
  Writer w(&out);
  w.Bytes(EncodeMeta(record));
  w.Bytes(EncodeState(record));
  return out;
}

bool DecodeRecord(std::string_view bytes, GroupRecord* record) {
  Reader r(bytes);
  std::string_view meta = r.Bytes();
  std::string_view state = r.Bytes();
  return r.Done() && DecodeMeta(meta, record) && DecodeState(state, record);
}

std::string EncodeEntry(std::string_view key, const Entry& entry, Term previous) {
  std::string out;
  out.reserve(entry.data.size() + 24);
  Writer w(&out);
  w.Varint(entry.term);
  w.Varint(previous);
  w.Byte(static_cast<uint8_t>(entry.type));
  w.Fixed32(EntryCrc(key, entry, previous));
  w.Raw(entry.data);
  return out;
}

std::optional<Suspect> DecodeEntry(std::string_view key, std::string_view bytes) {
  GroupId group;
  LogKind kind;
  auto entry = std::make_shared<Entry>();
  if (!ParseLogKey(key, &group, &kind, &entry->index) || kind != LogKind::kEntry)
    return std::nullopt;
  Reader r(bytes);
  entry->term = r.Id<Term>();
  Term previous = r.Id<Term>();
  uint8_t type = r.Byte();
  entry->type = static_cast<EntryType>(type);
  uint32_t crc = r.Fixed32();
  entry->data = r.rest();
  if (!r.ok() || type > static_cast<uint8_t>(EntryType::kConfiguration)) return std::nullopt;
  if (EntryCrc(key, *entry, previous) != crc) return std::nullopt;
  // Checked before it was written; the core relies on it.
  Configuration ignored;
  if (entry->type == EntryType::kConfiguration && !Configuration::Decode(entry->data, &ignored))
    return std::nullopt;
  return Suspect{std::move(entry), previous};
}

}  // namespace kvd::raft
