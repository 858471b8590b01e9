#include "server/service/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/text_serializer.h>

namespace kvd::service {
namespace {

constexpr const char* kCodes[17] = {
    "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
    "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
    "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
    "DATA_LOSS", "UNAUTHENTICATED"};

}  // namespace

const char* NameOf(OperationKind kind) {
  static constexpr const char* kNames[] = {"get",    "multi_get", "put",          "append",
                                           "delete", "increment", "delete_range", "batch",
                                           "scan",   "locate"};
  return kNames[static_cast<size_t>(kind)];
}

Metrics::Metrics() {
  auto& requests = prometheus::BuildCounter()
                       .Name("kvd_requests_total")
                       .Help("Requests ended, by operation and gRPC code")
                       .Register(registry_);
  auto& latency = prometheus::BuildHistogram()
                      .Name("kvd_request_seconds")
                      .Help("Time from arrival to answer, by operation")
                      .Register(registry_);
  const prometheus::Histogram::BucketBoundaries bounds = {
      0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10};
  for (size_t i = 0; i < codes_.size(); ++i) {
    std::string operation = NameOf(static_cast<OperationKind>(i));
    latency_[i] = &latency.Add({{"operation", operation}}, bounds);
    for (size_t code = 0; code < 17; ++code) {
      codes_[i][code] = &requests.Add({{"operation", operation}, {"code", kCodes[code]}});
    }
  }
}

Metrics::~Metrics() = default;

void Metrics::Observe(OperationKind kind, int code, double seconds) {
  auto i = static_cast<size_t>(kind);
  codes_[i][static_cast<size_t>(code) % 17]->Increment();
  latency_[i]->Observe(seconds);
}

void Metrics::Set(const std::string& name, const std::string& help, double value,
                  const std::map<std::string, std::string>& labels) {
  Value& known = values_[{name, labels}];
  if (known.gauge == nullptr) {
    known.family = &prometheus::BuildGauge().Name(name).Help(help).Register(registry_);
    known.gauge = &known.family->Add(labels);
  }
  known.round = round_;
  known.gauge->Set(value);
}

void Metrics::EndRound() {
  std::erase_if(values_, [this](const auto& item) {
    const auto& [key, value] = item;
    if (key.second.empty() || value.round == round_) return false;
    value.family->Remove(value.gauge);
    return true;
  });
}

void Metrics::SetTotal(const std::string& name, const std::string& help, double total,
                       const std::map<std::string, std::string>& labels) {
  auto& counter = prometheus::BuildCounter().Name(name).Help(help).Register(registry_).Add(labels);
  double grown = total - counter.Value();
  if (grown > 0) counter.Increment(grown);
}

void Metrics::SetHistogram(const std::string& name, const std::string& help,
                           const std::vector<double>& bounds, const std::vector<double>& counts,
                           double sum) {
  auto& histogram =
      prometheus::BuildHistogram().Name(name).Help(help).Register(registry_).Add({}, bounds);
  Counted& last = histograms_[name];
  last.counts.resize(counts.size());
  std::vector<double> grown(counts.size());
  for (size_t i = 0; i < counts.size(); ++i) grown[i] = counts[i] - last.counts[i];
  histogram.ObserveMultiple(grown, sum - last.sum);
  last = {counts, sum};
}

std::string Metrics::Render() {
  return prometheus::TextSerializer().Serialize(registry_.Collect());
}

}  // namespace kvd::service
