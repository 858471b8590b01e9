// What the process tells Prometheus. Counters are fed on the loop; the scrape runs on a thread of
// the HTTP server and reads atomics and thread-safe properties only.
#pragma once

#include <prometheus/registry.h>

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace prometheus {
class Counter;
class Gauge;
class Histogram;
}  // namespace prometheus

namespace kvd::service {

enum class OperationKind {
  kGet,
  kMultiGet,
  kPut,
  kAppend,
  kDelete,
  kIncrement,
  kDeleteRange,
  kBatch,
  kScan,
  kLocate,
  kCount
};
const char* NameOf(OperationKind kind);

class Metrics {
 public:
  Metrics();
  ~Metrics();

  // A request has ended after `seconds` with a gRPC status code. Thread-safe.
  void Observe(OperationKind kind, int code, double seconds);

  // Sets a named value; made at the first call. `labels` are name-value pairs. One that has labels
  // goes when it was not set for a whole round: what it was about is no more. One thread.
  void BeginRound() { ++round_; }
  void EndRound();
  void Set(const std::string& name, const std::string& help, double value,
           const std::map<std::string, std::string>& labels = {});

  // Sets a named counter to `total`, which never falls. Thread-safe.
  void SetTotal(const std::string& name, const std::string& help, double total,
                const std::map<std::string, std::string>& labels = {});

  // Sets a named histogram to what was counted since the start: one more class than bounds.
  // One thread.
  void SetHistogram(const std::string& name, const std::string& help,
                    const std::vector<double>& bounds, const std::vector<double>& counts,
                    double sum);

  // The text form.
  std::string Render();

 private:
  prometheus::Registry registry_;
  std::array<prometheus::Histogram*, static_cast<size_t>(OperationKind::kCount)> latency_;
  std::array<std::array<prometheus::Counter*, 17>, static_cast<size_t>(OperationKind::kCount)>
      codes_;
  struct Counted {
    std::vector<double> counts;
    double sum = 0;
  };
  std::map<std::string, Counted> histograms_;  // as last set
  using Labels = std::map<std::string, std::string>;
  struct Value {
    prometheus::Family<prometheus::Gauge>* family = nullptr;
    prometheus::Gauge* gauge = nullptr;
    uint64_t round = 0;
  };
  std::map<std::pair<std::string, Labels>, Value> values_;
  uint64_t round_ = 0;
};

}  // namespace kvd::service
