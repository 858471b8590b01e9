// How a replica of the controller reaches the simulated world, and how a store of it runs attempts.
#pragma once

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "proto/check.h"
#include "tests/mapreduce/coordinator/jobs_world.h"

namespace kvd::jobs {

class JobsWorld::WorldPort : public Port {
 public:
  explicit WorldPort(JobsWorld* world) : world_(world) {}

  void Cut(JobId job, const JobSpec& spec, Timestamp at, Done<std::vector<Slice>> done) override;
  std::vector<StoreId> Holders(const Slice& slice) override;
  void Stage(JobId job, const JobSpec& spec, const std::vector<Winner>& winners,
             Done<Staged> done) override;
  void Publish(JobId job, const JobSpec& spec, Done<Nothing> done) override;
  void Sweep(JobId job, const JobSpec& spec, bool published, Done<Nothing> done) override;

 private:
  // Runs at the other end, perhaps twice or never; answers once: that, or that nothing is known.
  template <class T>
  void Call(Done<T> done, std::function<absl::StatusOr<T>()> at_the_other_end);
  absl::StatusOr<Staged> StageNow(JobId job, const JobSpec& spec,
                                  const std::vector<Winner>& winners);

  JobsWorld* const world_;
};

// Computes what an attempt leaves, after as long as the store takes for it.
class JobsWorld::WorldRunner : public Runner {
 public:
  WorldRunner(JobsWorld* world, size_t store) : world_(world), store_(store) {}
  ~WorldRunner() override { *alive_ = false; }

  void Start(const Assignment& assignment) override;
  void Cancel(const AttemptId& attempt) override;
  void Drop(JobId job, const std::vector<AttemptId>& keep) override;
  std::vector<AttemptId> Files() const override;

 private:
  void Step(const Assignment& assignment, uint64_t token, int step, int steps, Duration each);
  AttemptResult Compute(const Assignment& assignment);
  void ComputeMap(const Assignment& assignment, AttemptResult* result);
  void ComputeReduce(const Assignment& assignment, AttemptResult* result);
  void Keep(const AttemptId& id, ModelFile file, AttemptResult* result);

  JobsWorld* const world_;
  const size_t store_;
  uint64_t next_token_ = 1;
  std::map<AttemptId, uint64_t> active_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace kvd::jobs
