// A scan, page by page, over as many groups as its range has, all as of one timestamp: each page is
// a request of its own, which finds its group by the key at which it begins. Lives on the store's
// loop.
//
// The first page is read as of now, and says whether its group has all of the range. If not, and if
// it has not rows enough by itself, the groups that have the rest are asked first how far each is,
// and everything is read at the highest timestamp: no write that was acknowledged before the scan
// began is above it (design, 6). Shards that move afterwards take their history along.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "server/service/dispatcher.h"

namespace kvd::service {

class ScanReader : public std::enable_shared_from_this<ScanReader> {
 public:
  using Page = std::function<void(absl::StatusOr<v1::ScanResponse>)>;

  // All given outlive it.
  ScanReader(Loop* loop, Dispatcher* dispatcher, v1::ScanRequest request);

  // Calls back once, with the next page, the last one marked as such, or with why there is none.
  // One at a time, and none after that.
  void Next(Page page);

 private:
  // Of what the range still has, after an answer.
  static void GoOn(const v1::ScanResponse& page, v1::ScanRequest* request);
  void Probe();
  void OnProbed(const ResponseItem& answer);
  void Ask();
  void OnAnswer(ResponseItem answer);
  // After a failure that may pass: whether it is tried again.
  bool Again(const absl::Status& status, const std::function<void()>& what);
  void Finish(absl::StatusOr<v1::ScanResponse> page);

  Loop* const loop_;
  Dispatcher* const dispatcher_;
  v1::ScanRequest request_;  // of what is left
  v1::ScanRequest probe_;    // of what is yet to be asked for how far it is
  Timestamp at_;             // the highest that was told
  bool as_of_now_;           // no timestamp is given, or found yet
  Page page_;
  uint64_t rows_ = 0;
  MonotonicTime progress_at_;
  std::unique_ptr<Timer> again_;
};

}  // namespace kvd::service
