// What is known of a job and its tasks. Values.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proto/ids.h"
#include "proto/key_range.h"
#include "proto/timestamp.h"

namespace kvd::jobs {

using JobId = Number<struct JobIdTag>;  // from 1, in the order of submission

enum class JobState : uint8_t {
  kPending = 1,  // waits for its turn
  kRunning = 2,
  kPublishing = 3,  // decided: it can only be finished any more
  kDone = 4,
  kFailed = 5,
  kCancelled = 6,
};

inline bool IsOver(JobState state) { return state >= JobState::kDone; }

enum class Phase : uint8_t {
  kPlan = 1,    // the input is pinned and cut
  kSample = 2,  // keys are sampled, for Order::kTotal
  kMap = 3,
  kReduce = 4,
  kPublish = 5,  // rows are written and shown
};

// A task of a job: of kMap one a slice, of kReduce one a partition, of kSample the number of the
// slice that is looked into.
struct TaskId {
  Phase phase = Phase::kMap;
  uint32_t number = 0;

  auto operator<=>(const TaskId&) const = default;
};

// One run of a task, and the file that it leaves.
struct AttemptId {
  JobId job;
  TaskId task;
  uint64_t number = 0;  // the leader's term << kAttemptBits | counter: no two attempts share one

  auto operator<=>(const AttemptId&) const = default;
};

inline constexpr int kAttemptBits = 24;

// Part of the input, to be read at the job's timestamp.
struct Slice {
  KeyRange range;
  uint64_t bytes = 0;  // about

  bool operator==(const Slice&) const = default;
};

// Of a file's raw content: equal bytes, equal hash, whoever wrote it.
struct Hash {
  uint64_t high = 0;
  uint64_t low = 0;

  auto operator<=>(const Hash&) const = default;
};

using Counters = std::map<std::string, int64_t>;

// What an attempt has left, and where.
struct Output {
  StoreId store;
  uint64_t attempt = 0;
  Hash hash;
  uint64_t bytes = 0;
  uint64_t records = 0;
  Counters counters;
  uint32_t skipped = 0;  // how many bad records the attempt was told to skip

  bool operator==(const Output&) const = default;
};

struct BadRecord {
  std::string key;
  std::string reason;

  bool operator==(const BadRecord&) const = default;
};

struct Task {
  Slice slice;                   // of a map task
  std::optional<Output> output;  // the last that was accepted
  bool available = false;        // and it is still where it says
  uint64_t over_upto = 0;        // attempts up to this one are over: nothing of them is taken
  uint32_t losses = 0;
  std::vector<BadRecord> skipped;  // without reasons beyond the job's first kBadRecordsListed

  bool operator==(const Task&) const = default;
};

struct Job {
  uint64_t nonce = 0;
  JobState state = JobState::kPending;
  std::string reason;  // why it is over before it was done
  Timestamp submitted;
  Timestamp started;
  Timestamp ended;
  Timestamp pin;  // what the input is read at; 0: not pinned yet
  bool planned = false;
  uint32_t maps = 0;      // tasks, once planned
  uint32_t reducers = 0;  // tasks; 0: what maps leave is the output
  bool split = false;     // `splitters` are chosen
  std::vector<std::string> splitters;
  uint64_t bad_count = 0;
  // Once it is over.
  bool clean = false;  // nothing of it is left behind
  Counters counters;
  std::vector<BadRecord> bad_records;
  uint64_t input_bytes = 0;
  uint64_t map_bytes = 0;  // of what maps left
  uint64_t output_records = 0;
  uint64_t output_bytes = 0;
  bool has_result = false;  // there is a result record

  bool operator==(const Job&) const = default;
};

// Of a job's bad records so many are told.
inline constexpr size_t kBadRecordsListed = 100;
// A task whose output was lost more often than this fails its job.
inline constexpr uint32_t kLossesMax = 20;
inline constexpr size_t kReasonBytesMax = 1'024;
inline constexpr size_t kCountersMax = 1'000;  // of one task
inline constexpr size_t kCounterNameMax = 64;

// Sums wrap.
void AddCounters(const Counters& from, Counters* to);

std::string_view ToString(JobState state);
std::string_view ToString(Phase phase);
// map-3, and map-3 of job 7 attempt 2.1.
std::string ToString(const TaskId& task);
std::string ToString(const AttemptId& attempt);

}  // namespace kvd::jobs
