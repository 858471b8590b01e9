#include "server/shard/shard_export.h"

#include <algorithm>

#include "server/shard/shard_codec.h"

namespace kvd::shard {
namespace {

// The loop must get its turn.
constexpr uint64_t kLookedAtMax = 20'000;
constexpr uint64_t kSoughtMax = 2'000;

class Gathering {
 public:
  Gathering(const storage::MvccReader& reader, const KeyRange& range, const ExportRequest& request,
            ExportedRows* out)
      : reader_(reader), range_(range), request_(request), out_(out) {}

  bool full() const { return out_->rows.size() >= request_.bytes_max; }
  void EndAt(const std::string& key, Timestamp after = Timestamp()) {
    if (!range_.Contains(key)) return;
    out_->next_key = key;
    out_->next_after = after;
  }

  // A key's versions, oldest first, as many as there is room for: so what hides a version never
  // comes to the other end, and is given up there, before it.
  absl::Status TakeKey(const std::string& key, Timestamp from) {
    Timestamp last = from;
    return reader_.KeyHistory(
        key, std::max(request_.after, from), out_->upto,
        [&](const std::string&, Timestamp timestamp, const storage::Version& version) {
          if (full()) {
            EndAt(key, last);
            return false;
          }
          AppendRow(&out_->rows, {key, timestamp, storage::Encode(version)});
          last = timestamp;
          return true;
        });
  }

  // That, and as another chunk what comes behind.
  absl::Status TakeKeyAlone(const std::string& key, Timestamp from) {
    absl::Status taken = TakeKey(key, from);
    if (taken.ok() && out_->next_key.empty()) EndAt(key + '\0');
    return taken;
  }

  absl::Status TakeRecent(const RecentWrites::Shard& recent) {
    uint64_t sought = 0;
    for (auto it = recent.keys.lower_bound(request_.key); it != recent.keys.end(); ++it) {
      if (it->second <= request_.after) continue;
      if (full() || ++sought > kSoughtMax) {
        EndAt(it->first);
        return absl::OkStatus();
      }
      absl::Status taken = TakeKey(it->first, Timestamp());
      if (!taken.ok() || !out_->next_key.empty()) return taken;
    }
    return absl::OkStatus();
  }

  // Looks at every version of the range. Keys come whole, but for one that is too large, which then
  // is the chunk's only one.
  absl::Status TakeAll() {
    absl::Status scanned = reader_.DeltaScan(
        {std::max(range_.start, request_.key), range_.end}, Timestamp(), kTimestampMax,
        [&](const std::string& key, Timestamp timestamp, const storage::Version& version) {
          return Look(key, timestamp, version);
        });
    if (!scanned.ok()) return scanned;
    if (too_large_) return TakeKeyAlone(key_, Timestamp());
    if (out_->next_key.empty()) out_->rows += key_rows_;
    return absl::OkStatus();
  }

 private:
  bool Look(const std::string& key, Timestamp timestamp, const storage::Version& version) {
    if (looked_at_ == 0 || key != key_) {
      out_->rows += key_rows_;
      key_rows_.clear();
      key_ = key;
      key_begins_ = looked_at_;
      if (full() || looked_at_ >= kLookedAtMax) {
        EndAt(key);
        return false;
      }
    }
    ++looked_at_;
    if (timestamp > request_.after && timestamp <= out_->upto)
      AppendRow(&key_rows_, {key, timestamp, storage::Encode(version)});
    bool large = key_rows_.size() > request_.bytes_max || looked_at_ - key_begins_ > kLookedAtMax;
    if (!large) return true;
    if (key_begins_ == 0) {
      too_large_ = true;
    } else {
      EndAt(key);
    }
    return false;
  }

  const storage::MvccReader& reader_;
  const KeyRange& range_;
  const ExportRequest& request_;
  ExportedRows* const out_;
  uint64_t looked_at_ = 0;
  std::string key_;
  uint64_t key_begins_ = 0;  // when this many had been looked at
  std::string key_rows_;
  bool too_large_ = false;
};

}  // namespace

absl::Status ExportRows(const storage::MvccReader& reader, const KeyRange& range,
                        const ExportRequest& request, const RecentWrites::Shard* recent,
                        ExportedRows* out) {
  Gathering gathering(reader, range, request, out);
  if (request.key_after) {
    // What this replica has above the last version that came is what belongs there only if it has
    // that version too: else it may have given up what hides it.
    auto last = reader.At(request.key, request.key_after);
    if (!last.ok()) return last.status();
    out->key_after = last->has_value() ? request.key_after : Timestamp();
    return gathering.TakeKeyAlone(request.key, out->key_after);
  }
  if (recent != nullptr && request.after >= recent->since) return gathering.TakeRecent(*recent);
  return gathering.TakeAll();
}

}  // namespace kvd::shard
