// One task attempt's user code in a worker process, as a job's thread sees it: blocking, and with a
// clear error whatever the process does. guest_functions.h makes functions of it. Used by the
// thread that started it: the process dies with that thread.
//
// Errors, all of which name job, task and, if there is one, the record:
//
//   INVALID_ARGUMENT with BadRecordPayload  a record's fault: script error, crash, trap, no answer,
//   memory FAILED_PRECONDITION   the code's fault whatever the input: syntax, a missing function or
//   worker,
//                         another version of the protocol, failing before the first record or after
//                         the last
//   RESOURCE_EXHAUSTED    a limit of the whole task: CPU time, output
//   INTERNAL              the worker does not keep to the protocol
//   UNAVAILABLE           the environment's: it can't be started, was killed by somebody else, or had no
//                         processor
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "mapreduce/function.h"
#include "mapreduce/worker/answer.h"
#include "mapreduce/worker/host_channel.h"
#include "mapreduce/worker/native_workers.h"
#include "mapreduce/worker/protocol.h"
#include "mapreduce/worker/worker_process.h"

namespace kvd::mapreduce {

// What all workers of a store have in common.
struct GuestHost {
  // Path of kvd-worker.
  std::string worker_program;
  NativeWorkers native;
  // An empty directory that `user` may enter.
  std::string directory;
  // Whom they run as; nothing: as the store.
  std::optional<UserIds> user;
};

inline constexpr uint64_t kMemoryBytesMin = 1 << 20;
inline constexpr uint64_t kMemoryBytesMax = uint64_t{64} << 30;

struct GuestLimits {
  // Of a script's values; for a native worker, of all that it allocates. From kMemoryBytesMin to
  // kMemoryBytesMax.
  uint64_t memory_bytes = 64 << 20;
  uint64_t cpu_ms = 600'000;
  // Of all frames that it sends.
  uint64_t output_bytes = uint64_t{16} << 30;
  // Until a batch is answered, and until the process is up.
  std::chrono::milliseconds answer{5'000};
  std::chrono::milliseconds start{10'000};
  // Lines of the log beyond it are dropped.
  uint64_t log_bytes = 64 << 10;
};

struct GuestSpec {
  // For messages: the job's name, and the task with its attempt (map-3.1).
  std::string job;
  std::string task;
  wire::Role role = wire::Role::kMap;
  // One of them: source of a script, or the name of a native worker.
  std::string lua;
  std::string native;
  wire::Parameters parameters;
  GuestLimits limits;
  // Gets each line that the code logs; may be empty. Called from the thread that asks.
  std::function<void(std::string_view line)> log;
};

class GuestSession {
 public:
  // Starts the process and loads the code.
  static absl::StatusOr<std::unique_ptr<GuestSession>> Start(const GuestHost& host, GuestSpec spec);

  // The key of the record or group at a place (from 1) of the request.
  using KeyAt = std::function<std::optional<std::string_view>(uint64_t place)>;
  // Sends a request, which is whole frames, and takes the answer: pairs and counts go to `out`, the
  // payload of the last frame to `payload` (may be null), valid until the next call. Gives the last
  // frame's type. After an error the process is gone, and the same error is given again.
  absl::StatusOr<wire::FrameType> Ask(std::string_view request, const KeyAt& key_at, Emitter* out,
                                      std::string_view* payload = nullptr);

  // `job "sales", task map-3.1`.
  const std::string& where() const { return where_; }
  pid_t pid() const { return process_->pid(); }
  // INTERNAL: the worker answered something that makes no sense; it is killed.
  absl::Status Nonsense(const std::string& what);

 private:
  GuestSession(GuestSpec spec, std::unique_ptr<WorkerProcess> process);

  absl::Status Load(const std::string& program);
  absl::StatusOr<wire::FrameType> AskWithin(std::chrono::milliseconds limit,
                                            std::string_view request, const KeyAt& key_at,
                                            Emitter* out, std::string_view* payload);
  // One frame that does not end the answer.
  absl::Status Take(wire::FrameType type, std::string_view payload, Emitter* out, Watch* watch);

  // Why the session is over: these end the process.
  absl::Status OnBroken(HostChannel::Result result, const KeyAt& key_at);
  absl::Status OnNoAnswer(const KeyAt& key_at);
  absl::Status OnStarved(const KeyAt& key_at);
  absl::Status OnEnd(const KeyAt& key_at);
  absl::Status OnTrap(const KeyAt& key_at);
  absl::Status OnFailure(std::string_view payload, const KeyAt& key_at);
  // `reason`, as the fault of the record that the process was at, or of the code if it was at none.
  absl::Status Blame(const std::string& reason, const KeyAt& key_at) const;
  // With the record in the message only.
  absl::Status OverLimit(const std::string& reason, const KeyAt& key_at) const;
  std::optional<std::string_view> CurrentKey(const KeyAt& key_at) const;
  std::string MemoryReason() const;

  const GuestSpec spec_;
  const std::string where_;
  std::unique_ptr<WorkerProcess> process_;
  HostChannel channel_;
  Answers answers_;
  uint64_t output_bytes_ = 0;
  // How long the answer that is waited for may take.
  std::chrono::milliseconds waited_{0};
  absl::Status broken_;
};

// Whether code could be run in a role, without running a job: it is compiled, and what stands
// outside of its functions is run, in a worker process. OK, or FAILED_PRECONDITION: "syntax error
// at line 3, column 7: ...".
absl::Status CheckCode(const GuestHost& host, GuestSpec spec);

}  // namespace kvd::mapreduce
