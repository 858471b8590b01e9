// How the coordinator reaches the world. Calls may fail, be late, or be carried out though their
// answer is lost; each is asked again until it is answered, by this leader or a later one, so each
// must be idempotent. Lives on the controller's loop.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "mapreduce/coordinator/spec.h"
#include "mapreduce/coordinator/types.h"

namespace kvd::jobs {

struct Staged {
  // Partitions whose file could not be read: it is gone or damaged. Then nothing else counts.
  std::vector<uint32_t> lost;
  std::string result;  // of an INLINE output: its rows
};

struct Nothing {};

class Port {
 public:
  virtual ~Port() = default;

  template <class T>
  using Done = std::function<void(absl::StatusOr<T>)>;

  // A file that a partition is cut from.
  struct Winner {
    AttemptId attempt;
    StoreId store;
    Hash hash;
  };

  // Cuts the inputs, in the order of their keys, into slices of about SliceBytes(spec), which
  // together are exactly the inputs; at most kSlicesMax. Before it answers, every group of the
  // inputs has logged a clock advance to `at`: no write takes a timestamp at or below it any more.
  virtual void Cut(JobId job, const JobSpec& spec, Timestamp at, Done<std::vector<Slice>> done) = 0;
  // Stores that have the slice's data now, the ones that should rather read it first. Asked often:
  // from memory, as far as is known.
  virtual std::vector<StoreId> Holders(const Slice& slice) = 0;
  // KEYS: has all rows of the winners written where nobody sees them yet, and the prefix locked.
  // INLINE: fetches them. INVALID_ARGUMENT if they can't be (too many for INLINE, a key twice):
  // the job fails.
  virtual void Stage(JobId job, const JobSpec& spec, const std::vector<Winner>& winners,
                     Done<Staged> done) = 0;
  // It is decided: shows what was staged. Of FILES nothing is to be done.
  virtual void Publish(JobId job, const JobSpec& spec, Done<Nothing> done) = 0;
  // The job is over. Takes locks, and what was staged and is not shown, away; what comes late of a
  // Stage of this job is refused from now on.
  virtual void Sweep(JobId job, const JobSpec& spec, bool published, Done<Nothing> done) = 0;
};

}  // namespace kvd::jobs
