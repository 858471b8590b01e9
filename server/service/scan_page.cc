#include "server/service/scan_page.h"

#include "proto/limits.h"

namespace kvd::service {

absl::Status FillPage(const v1::ScanRequest& request, const KeyRange& range, Timestamp at,
                      const storage::MvccReader& reader, v1::ScanResponse* page) {
  size_t page_bytes = request.page_bytes() == 0 ? kScanPageBytesDefault : request.page_bytes();
  // Counting sends nothing: bounded in rows instead.
  constexpr uint64_t kRowsMax = 10'000;
  uint64_t rows = 0;
  size_t bytes = 0;
  size_t examined_bytes = 0;  // checked, whether or not they are sent
  bool more = false;
  storage::ScanOptions options;
  options.range = range;
  options.at = at;
  options.reverse = request.reverse();
  // Dead versions cost time as well.
  options.examined_max = 50'000;
  // Forward the next page begins at the key; reverse at it too, as the exclusive end just behind.
  auto resume_at = [&](const std::string& key) {
    more = true;
    page->set_resume_key(request.reverse() ? key + '\0' : key);
  };
  auto row = [&](const std::string& key, Timestamp timestamp, const storage::Version& version) {
    if (request.limit() != 0 && rows == request.limit()) return false;
    if (bytes >= page_bytes || examined_bytes >= kScanPageBytesMax || rows == kRowsMax) {
      resume_at(key);
      return false;
    }
    ++rows;
    examined_bytes += version.value.size();
    if (request.count_only()) return true;
    auto* out = page->add_rows();
    out->set_key(key);
    ToVersion(timestamp, version, request.keys_only(), out->mutable_version());
    bytes += key.size() + (request.keys_only() ? 0 : version.value.size()) + 16;
    return true;
  };
  auto scanned = reader.Scan(options, row);
  if (!scanned.ok()) return scanned.status();
  if (scanned->has_value()) resume_at(**scanned);
  page->set_count(rows);
  page->set_done(!more);
  return absl::OkStatus();
}

}  // namespace kvd::service
