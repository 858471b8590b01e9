#include "server/storage/mvcc_reader.h"

#include "proto/bytes.h"
#include "proto/check.h"
#include "proto/crc32c.h"
#include "proto/error.h"
#include "server/storage/gc_filter.h"

namespace kvd::storage {
namespace {

absl::Status Malformed(std::string_view engine_key) {
  return CorruptionError("a stored version is malformed",
                         UserKeyOf(engine_key).value_or(std::string(engine_key)));
}

absl::Status CheckSum(std::string_view user_key, const Version& v) {
  if (v.kind != VersionKind::kValue || ValueChecksum(user_key, v.value) == v.crc32c) {
    return absl::OkStatus();
  }
  return CorruptionError("a stored value does not match its checksum", user_key);
}

IterateOptions OnePrefix(const std::string& prefix) {
  IterateOptions options;
  options.lower = prefix;
  options.upper = PrefixEnd(prefix);
  options.one_prefix = true;
  return options;
}

}  // namespace

absl::Status CheckVersion(std::string_view engine_key, std::string_view value) {
  auto user_key = UserKeyOf(engine_key);
  auto version = DecodeVersion(value);
  if (!user_key || !version) return Malformed(engine_key);
  return CheckSum(*user_key, *version);
}

StoredVersion::StoredVersion(Timestamp timestamp, std::string bytes_in)
    : timestamp(timestamp), bytes(std::move(bytes_in)) {
  auto decoded = DecodeVersion(bytes);
  KVD_CHECK(decoded.has_value());  // checked by whoever read the bytes
  version = *decoded;
}

absl::StatusOr<std::optional<StoredVersion>> MvccReader::Get(std::string_view user_key,
                                                             Timestamp at) const {
  auto found = Newest(user_key, at);
  if (found.ok() && found->has_value() && !(*found)->version.IsLiveAt(at)) found->reset();
  return found;
}

absl::StatusOr<std::optional<StoredVersion>> MvccReader::Newest(std::string_view user_key,
                                                                Timestamp at) const {
  std::string sought = VersionsPrefix(group_, user_key);
  auto it = view_->NewIterator(OnePrefix(sought));
  AppendTimestamp(&sought, at);
  for (it->Seek(sought); it->Valid(); it->Next()) {
    auto version = DecodeVersion(it->value());
    if (!version) return Malformed(it->key());
    if (version->kind == VersionKind::kOutcome) continue;
    absl::Status sum = version->IsLiveAt(at) ? CheckSum(user_key, *version) : absl::OkStatus();
    if (!sum.ok()) return sum;
    return std::optional<StoredVersion>(std::in_place, TimestampOf(it->key()),
                                        std::string(it->value()));
  }
  if (!it->status().ok()) return it->status();
  return std::nullopt;
}

absl::StatusOr<std::optional<StoredVersion>> MvccReader::FindWriter(std::string_view user_key,
                                                                    Timestamp after,
                                                                    const WriterId& writer) const {
  std::string prefix = VersionsPrefix(group_, user_key);
  auto it = view_->NewIterator(OnePrefix(prefix));
  AppendTimestamp(&prefix, kTimestampMax);
  for (it->Seek(prefix); it->Valid() && TimestampOf(it->key()) > after; it->Next()) {
    auto version = DecodeVersion(it->value());
    if (!version) return Malformed(it->key());
    if (version->writer != writer) continue;
    absl::Status sum = CheckSum(user_key, *version);
    if (!sum.ok()) return sum;
    return std::optional<StoredVersion>(std::in_place, TimestampOf(it->key()),
                                        std::string(it->value()));
  }
  if (!it->status().ok()) return it->status();
  return std::nullopt;
}

absl::StatusOr<std::optional<StoredVersion>> MvccReader::At(std::string_view user_key,
                                                            Timestamp timestamp) const {
  auto bytes = view_->Get(VersionKey(group_, user_key, timestamp));
  if (!bytes.ok()) return bytes.status();
  if (!bytes->has_value()) return std::nullopt;
  absl::Status whole = CheckVersion(VersionKey(group_, user_key, timestamp), **bytes);
  if (!whole.ok()) return whole;
  return std::optional<StoredVersion>(std::in_place, timestamp, **std::move(bytes));
}

absl::StatusOr<std::optional<std::string>> MvccReader::Scan(const ScanOptions& options,
                                                            const Row& row) const {
  if (options.range.Empty()) return std::nullopt;
  return options.reverse ? ScanReverse(options, row) : ScanForward(options, row);
}

absl::StatusOr<std::optional<std::string>> MvccReader::ScanForward(const ScanOptions& options,
                                                                   const Row& row) const {
  IterateOptions iterate;
  std::tie(iterate.lower, iterate.upper) = VersionBounds(group_, options.range);
  iterate.fill_cache = options.fill_cache;
  auto it = view_->NewIterator(iterate);
  std::string done_prefix;   // of the key that is decided already
  std::string first_prefix;  // not given back: who goes on there would get no further
  int skipped = 0;
  uint64_t examined = 0;
  uint64_t dead = 0;
  for (it->Seek(iterate.lower); it->Valid();) {
    std::string_view prefix = PrefixOf(it->key());
    if (examined == 0) first_prefix = prefix;
    if (++examined > options.examined_max && options.examined_max != 0 && prefix != done_prefix &&
        prefix != first_prefix) {
      auto here = UserKeyOf(it->key());
      if (!here) return Malformed(it->key());
      return here;
    }
    if (prefix == done_prefix) {
      // A key with a long history: jump over the rest of it.
      if (++skipped > 8) {
        it->Seek(PrefixEnd(done_prefix));
        skipped = 0;
      } else {
        it->Next();
      }
      continue;
    }
    skipped = 0;
    Timestamp timestamp = TimestampOf(it->key());
    if (timestamp > options.at) {
      std::string sought(prefix);
      AppendTimestamp(&sought, options.at);
      it->Seek(sought);
      continue;
    }
    auto version = DecodeVersion(it->value());
    auto user_key = UserKeyOf(it->key());
    if (!version || !user_key) return Malformed(it->key());
    if (version->kind != VersionKind::kOutcome) {
      done_prefix = prefix;
      if (version->IsLiveAt(options.at)) {
        absl::Status sum = CheckSum(*user_key, *version);
        if (!sum.ok()) return sum;
        if (!row(*user_key, timestamp, *version)) return std::nullopt;
      } else if (timestamp > options.safe_point || !IsDead(*version, options.safe_point)) {
        if (options.dead_max != 0 && ++dead > options.dead_max) return user_key;
      }
    }
    it->Next();
  }
  if (!it->status().ok()) return it->status();
  return std::nullopt;
}

absl::StatusOr<std::optional<std::string>> MvccReader::ScanReverse(const ScanOptions& options,
                                                                   const Row& row) const {
  IterateOptions iterate;
  std::tie(iterate.lower, iterate.upper) = VersionBounds(group_, options.range);
  iterate.fill_cache = options.fill_cache;
  auto it = view_->NewIterator(iterate);
  uint64_t examined = 0;
  for (it->SeekForPrev(iterate.upper); it->Valid();) {
    std::string prefix(PrefixOf(it->key()));
    auto user_key = UserKeyOf(it->key());
    if (!user_key) return Malformed(it->key());
    if (options.examined_max != 0 && ++examined > options.examined_max) return user_key;
    auto found = Get(*user_key, options.at);
    if (!found.ok()) return found.status();
    if (found->has_value() && !row(*user_key, (*found)->timestamp, (*found)->version)) {
      return std::nullopt;
    }
    it->SeekForPrev(prefix);
  }
  if (!it->status().ok()) return it->status();
  return std::nullopt;
}

absl::Status MvccReader::DeltaScan(const KeyRange& range, Timestamp after, Timestamp upto,
                                   const Row& row) const {
  if (range.Empty()) return absl::OkStatus();
  IterateOptions iterate;
  std::tie(iterate.lower, iterate.upper) = VersionBounds(group_, range);
  iterate.fill_cache = false;
  auto it = view_->NewIterator(iterate);
  for (it->Seek(iterate.lower); it->Valid(); it->Next()) {
    Timestamp timestamp = TimestampOf(it->key());
    if (timestamp <= after || timestamp > upto) continue;
    auto version = DecodeVersion(it->value());
    auto user_key = UserKeyOf(it->key());
    if (!version || !user_key) return Malformed(it->key());
    absl::Status sum = CheckSum(*user_key, *version);
    if (!sum.ok()) return sum;
    if (!row(*user_key, timestamp, *version)) return absl::OkStatus();
  }
  return it->status();
}

absl::Status MvccReader::KeyHistory(const std::string& user_key, Timestamp after, Timestamp upto,
                                    const Row& row) const {
  std::string sought = VersionsPrefix(group_, user_key);
  IterateOptions iterate;
  iterate.lower = sought;
  iterate.upper = PrefixEnd(sought);
  iterate.fill_cache = false;
  auto it = view_->NewIterator(iterate);
  AppendTimestamp(&sought, after + 1);
  for (it->SeekForPrev(sought); it->Valid() && TimestampOf(it->key()) <= upto; it->Prev()) {
    auto version = DecodeVersion(it->value());
    if (!version) return Malformed(it->key());
    absl::Status sum = CheckSum(user_key, *version);
    if (!sum.ok()) return sum;
    if (!row(user_key, TimestampOf(it->key()), *version)) return absl::OkStatus();
  }
  return it->status();
}

}  // namespace kvd::storage
