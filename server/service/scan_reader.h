// A scan, page by page, over as many groups as its range has, all as of one timestamp: each page is
// a request of its own, which finds its group by the key at which it begins. Lives on the store's
// loop.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "server/service/dispatcher.h"

namespace kvd::service {

class ScanReader : public std::enable_shared_from_this<ScanReader> {
 public:
  using Page = std::function<void(absl::StatusOr<v1::ScanResponse>)>;

  // All given outlive it.
  ScanReader(Loop* loop, Dispatcher* dispatcher, v1::ScanRequest request)
      : loop_(loop), dispatcher_(dispatcher), request_(std::move(request)) {}

  // Calls back once, with the next page, the last one marked as such, or with why there is none.
  // One at a time, and none after that.
  void Next(Page page);

 private:
  void Probe();
  void OnProbed(std::vector<std::string> starts, Timestamp at, const v1::MultiGetResponse& answer);
  void ReadAt(Timestamp at);
  void Ask();
  void OnAnswer(ResponseItem answer);
  // After a failure that may pass: whether it is tried again.
  bool Again(const absl::Status& status, const std::function<void()>& what);
  void Finish(absl::StatusOr<v1::ScanResponse> page);

  Loop* const loop_;
  Dispatcher* const dispatcher_;
  v1::ScanRequest request_;  // of what is left
  Page page_;
  bool begun_ = false;
  uint64_t rows_ = 0;
  MonotonicTime progress_at_;
  std::unique_ptr<Timer> again_;
};

}  // namespace kvd::service
