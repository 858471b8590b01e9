// One simulated store for targets that feed a whole one, and requests made out of a target's input:
// shaped like real ones, with values at and beyond every limit.
#pragma once

#include "proto/codec.h"
#include "tests/sim/sim_store.h"

namespace kvd::fuzz {

class FuzzStore {
 public:
  // Replica 1, on store 1, of a group with `voters` voters on as many stores, of which only this
  // one exists. The only voter leads, and its cluster is bootstrapped.
  explicit FuzzStore(uint64_t voters);

  sim::SimStore& store() { return store_; }
  service::Dispatcher& dispatcher() { return *store_.process().dispatcher; }
  MonotonicTime now() const { return scheduler_.now(); }
  void Elapse(Duration duration) { scheduler_.RunUntil(scheduler_.now() + duration); }
  // Executes a request to its answer. Aborts unless there is exactly one, of the right id and kind.
  service::ResponseItem Execute(const service::RequestItem& item);
  // Aborts unless a write and a read succeed. For the only voter.
  void CheckServes();

 private:
  sim::Scheduler scheduler_;
  sim::SimNetwork network_;
  sim::SimStore store_;
  uint64_t probes_ = 0;
};

// A number that is often at a limit.
uint64_t TakeNumber(Reader& r);
// One of a few keys, now and then none, or one that is too long.
std::string TakeKey(Reader& r);
// Takes its shape from the input, or is the input parsed as it would come from the network.
service::RequestItem TakeRequest(Reader& r);
v1::ScanRequest TakeScan(Reader& r);
// Whether a response of this kind answers that request.
bool Answers(const service::RequestItem& request, const service::ResponseItem& response);

}  // namespace kvd::fuzz
