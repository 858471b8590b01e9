// The invariants of jobs.
#include <set>

#include "mapreduce/coordinator/state.h"
#include "proto/check.h"

namespace kvd::jobs {
namespace {

void CheckTask(const Task& task) {
  KVD_CHECK(!task.available || task.output.has_value());
  if (!task.output) return;
  KVD_CHECK(task.output->store && task.output->attempt != 0);
  // What was declared lost is over; what counts is not.
  KVD_CHECK(task.available == (task.output->attempt > task.over_upto));
  KVD_CHECK(!task.available || task.output->skipped == task.skipped.size());
}

void CheckTasks(const Entry& entry) {
  const Job& job = entry.job;
  KVD_CHECK(entry.maps.size() == job.maps && entry.reduces.size() == job.reducers);
  uint64_t bad = 0;
  for (bool reduce : {false, true}) {
    uint32_t available = 0;
    for (const Task& task : reduce ? entry.reduces : entry.maps) {
      CheckTask(task);
      available += task.available;
      bad += task.skipped.size();
    }
    KVD_CHECK(available == (reduce ? entry.reduces_available : entry.maps_available));
  }
  KVD_CHECK(bad == job.bad_count && bad <= entry.spec->limits.bad_records);
  KVD_CHECK(Covers(entry.maps, *entry.spec));
}

void CheckJob(const Entry& entry, const Ids& ids) {
  const Job& job = entry.job;
  bool open = !IsOver(job.state);
  KVD_CHECK(job.nonce != 0 && job.submitted);
  KVD_CHECK(open == !job.ended && (!open || !job.clean));
  // The history that it reads is kept.
  KVD_CHECK(!open || !job.pin || ids.granted <= job.pin);
  if (job.state == JobState::kPending) {
    KVD_CHECK(!job.started && !job.planned && entry.maps.empty());
    KVD_CHECK(job.pin == entry.spec->timestamp);
  }
  if (job.state == JobState::kRunning) KVD_CHECK(job.started && job.pin);
  if (!job.planned) {
    KVD_CHECK(entry.reduces.empty() && entry.maps_available == 0);
    return;
  }
  KVD_CHECK((job.reducers == 0) == entry.direct());
  KVD_CHECK(!job.split || (entry.NeedsSplitters() && job.splitters.size() < job.reducers));
  if (!job.clean && open) CheckTasks(entry);
  if (job.state == JobState::kPublishing) KVD_CHECK(entry.OutputsAvailable());
}

}  // namespace

void State::CheckState() const {
  std::set<uint64_t> nonces;
  std::vector<std::string> prefixes;
  for (const auto& [id, entry] : jobs_) {
    KVD_CHECK(id && id < ids_.next_job && entry.spec != nullptr);
    KVD_CHECK(nonces.insert(entry.job.nonce).second);
    CheckJob(entry, ids_);
    if (IsOver(entry.job.state) || !entry.spec->output.IsKeys()) continue;
    // No two jobs write into each other's output.
    for (const std::string& other : prefixes) {
      KVD_CHECK(!PrefixesOverlap(other, entry.spec->output.prefix));
    }
    prefixes.push_back(entry.spec->output.prefix);
  }
}

}  // namespace kvd::jobs
