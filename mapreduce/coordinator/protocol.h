// What a store and the coordinator tell each other. Plain values: the service translates.
//
// A store polls each second, and at once when an attempt ends. Each poll says all that runs there
// and all that has ended and was not acknowledged; the answer says what else to run, what to end,
// and what is settled. So a poll or an answer that is lost costs a second and nothing else.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mapreduce/coordinator/spec.h"
#include "mapreduce/coordinator/types.h"

namespace kvd::jobs {

struct RunningAttempt {
  AttemptId id;
  uint64_t bytes_done = 0;  // of its input

  bool operator==(const RunningAttempt&) const = default;
};

enum class Outcome : uint8_t {
  kDone = 1,
  kFailed = 2,
  kBadRecord = 3,    // one record is at fault
  kFetchFailed = 4,  // maps' outputs could not be read
};

// A map's output that a reduce attempt could not read.
struct LostSource {
  uint32_t map = 0;
  uint64_t attempt = 0;
  bool damaged =
      false;  // it is there, and its checksum is wrong; or its store says it is not there

  bool operator==(const LostSource&) const = default;
};

// A key that a map function emitted, with a hash of where: those with the least are the sample.
struct SampledKey {
  uint64_t priority = 0;
  std::string key;

  auto operator<=>(const SampledKey&) const = default;
};

struct AttemptResult {
  AttemptId id;
  Outcome outcome = Outcome::kFailed;
  std::string reason;              // of what is not kDone
  bool permanent = false;          // kFailed: every attempt would
  Output output;                   // kDone, but of a sample; its store is who says so
  BadRecord bad;                   // kBadRecord
  std::vector<LostSource> lost;    // kFetchFailed
  std::vector<SampledKey> sample;  // kDone, of a sample

  bool operator==(const AttemptResult&) const = default;
};

// How far a phase of a job had come at least. Carried by stores from one leader to the next.
struct ProgressMark {
  JobId job;
  Phase phase = Phase::kMap;
  uint64_t bytes = 0;

  bool operator==(const ProgressMark&) const = default;
};

struct Poll {
  StoreId store;
  uint64_t incarnation = 0;  // rises with each start of the store
  uint64_t number = 0;       // rises within an incarnation
  uint32_t slots = 0;        // attempts that it runs at a time
  std::vector<RunningAttempt> running;
  std::vector<AttemptResult> finished;
  std::vector<JobId> jobs;  // that it has files of
  // All files that it has, each named by the attempt that left it; if it was asked for.
  std::optional<std::vector<AttemptId>> files;
  std::vector<ProgressMark> marks;

  bool operator==(const Poll&) const = default;
};

// What a reduce attempt reads: of one map.
struct Source {
  uint32_t map = 0;
  StoreId store;
  uint64_t attempt = 0;

  bool operator==(const Source&) const = default;
};

struct Assignment {
  AttemptId id;
  std::shared_ptr<const JobSpec> spec;
  JobLimits limits;  // in effect
  Timestamp at;      // what the input is read at
  // Of a map or a sample.
  Slice slice;
  uint64_t sample_bytes = 0;           // of the slice so much is read; 0: it is no sample
  uint32_t partitions = 1;             // of what it leaves
  std::vector<std::string> splitters;  // Order::kTotal: where partitions 1, 2, ... begin
  // Of a reduce: in the order of maps.
  std::vector<Source> sources;
  std::vector<std::string> skip;  // records (of a reduce: keys) to be left out
};

struct Drop {
  JobId job;
  std::vector<AttemptId> keep;  // all its other files go
};

struct PollAnswer {
  uint64_t term = 0;    // of the leader that says so
  uint64_t number = 0;  // of the poll
  bool tell_files = false;
  std::vector<Assignment> start;
  std::vector<AttemptId> cancel;
  std::vector<AttemptId> settled;  // finished ones that need not be told again
  std::vector<Drop> drop;
  std::vector<ProgressMark> marks;
};

}  // namespace kvd::jobs
