// Carries out what is open, while this store leads the controller. Each phase of an operation is a
// script of idempotent calls: whatever fails, the phase begins anew, here or at the next leader,
// and once it is through, the next phase is committed (design, 7). Lives on the controller's loop.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "raft/runtime/loop.h"
#include "shardctrler/command.h"
#include "shardctrler/port.h"
#include "shardctrler/state.h"

namespace kvd::shardctrler {

struct DriverOptions {
  Duration retry_after_min = milliseconds(50);
  Duration retry_after_max = milliseconds(2000);
  // A round of a copy that brought no more leaves so little that the shard can be frozen.
  uint64_t last_round_bytes_max = 256 << 10;
};

class Driver {
 public:
  // Has the controller's log take a command; calls back once it is applied, or why it is not.
  using Propose = std::function<void(Command, std::function<void(absl::Status)>)>;

  // All given outlive it.
  Driver(Loop* loop, const State* state, Port* port, Propose propose, DriverOptions options)
      : loop_(loop), state_(state), port_(port), propose_(std::move(propose)), options_(options) {}
  // Answers that come later change nothing.
  ~Driver();

  // This store leads the controller, and its state has all that was committed before; or it does
  // not lead any more.
  void SetLeads(bool leads);
  // The state has changed.
  void Look();

  // Why an operation does not get on; empty if nothing is known to be in its way.
  std::string Trouble(OperationId id) const;

 private:
  struct Run {
    Phase phase = Phase::kRunning;
    uint64_t attempt = 0;  // answers of earlier ones are not heard
    Duration pause = Duration::zero();
    std::string trouble;
    // Calls of this attempt that were answered, and of the one that met the trouble.
    size_t answered = 0;
    size_t answered_before = 0;
    std::unique_ptr<Timer> retry;
  };

  void Begin(OperationId id);
  void Move(OperationId id, const Operation& o);
  void Copy(OperationId id, const Operation& o);
  void Switch(OperationId id, const Operation& o);
  void Reshape(OperationId id, const Operation& o);
  void Regroup(OperationId id, const Operation& o);
  void Advance(OperationId id, Phase next);
  void Fail(OperationId id, const absl::Status& status);
  ShardStep StepOf(OperationId id, const Operation& o, StepKind kind) const;
  void Step(OperationId id, GroupId group, ShardStep step,
            std::function<void(const StepAnswer&)> next);
  // Wraps what follows a call: nothing if the attempt is over, another attempt if it failed.
  template <class T>
  Port::Done<T> Then(OperationId id, std::function<void(const T&)> next);

  Loop* const loop_;
  const State* const state_;
  Port* const port_;
  const Propose propose_;
  const DriverOptions options_;
  bool leads_ = false;
  uint64_t attempts_ = 0;
  std::map<OperationId, Run> runs_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace kvd::shardctrler
