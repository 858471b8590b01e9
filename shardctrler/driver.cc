#include "shardctrler/driver.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "proto/bytes.h"
#include "proto/fault_point.h"

namespace kvd::shardctrler {

Driver::~Driver() { runs_.clear(); }

void Driver::SetLeads(bool leads) {
  leads_ = leads;
  runs_.clear();
  Look();
}

void Driver::Look() {
  if (!leads_) return;
  std::erase_if(runs_, [this](const auto& run) {
    const Operation* o = state_->FindOperation(run.first);
    return o == nullptr || !IsOpen(o->phase);
  });
  for (const auto& [id, o] : state_->operations()) {
    if (!IsOpen(o.phase)) continue;
    auto run = runs_.find(id);
    // One that is in its phase goes on by itself.
    if (run == runs_.end() || run->second.phase != o.phase) Begin(id);
  }
}

std::string Driver::Trouble(OperationId id) const {
  auto run = runs_.find(id);
  return run == runs_.end() ? "" : run->second.trouble;
}

template <class T>
Port::Done<T> Driver::Then(OperationId id, std::function<void(const T&)> next) {
  return [this, alive = std::weak_ptr<bool>(alive_), id, attempt = runs_.at(id).attempt,
          next = std::move(next)](const absl::StatusOr<T>& answer) {
    if (alive.expired()) return;
    auto run = runs_.find(id);
    if (run == runs_.end() || run->second.attempt != attempt) return;
    if (!answer.ok()) return Fail(id, answer.status());
    // It has come past what was in its way.
    if (++run->second.answered > run->second.answered_before) run->second.trouble.clear();
    next(*answer);
  };
}

void Driver::Begin(OperationId id) {
  const Operation o = *state_->FindOperation(id);
  Run& run = runs_[id];
  if (run.phase != o.phase) {
    run.pause = Duration::zero();
    run.trouble.clear();
  }
  run.answered = 0;
  run.phase = o.phase;
  run.attempt = ++attempts_;
  run.retry.reset();
  KVD_FAULT_POINT(kPhaseBegins);
  switch (o.kind) {
    case OperationKind::kMove: return Move(id, o);
    case OperationKind::kSplit:
    case OperationKind::kMerge: return Reshape(id, o);
    case OperationKind::kCreateGroup:
    case OperationKind::kChangeReplicas:
    case OperationKind::kRetireGroup: return Regroup(id, o);
  }
}

void Driver::Fail(OperationId id, const absl::Status& status) {
  Run& run = runs_.at(id);
  run.trouble = std::string(status.message());
  run.answered_before = run.answered;
  run.attempt = ++attempts_;
  run.pause = std::clamp(2 * run.pause, options_.retry_after_min, options_.retry_after_max);
  auto pause = Duration(static_cast<int64_t>(loop_->random().Between(
      static_cast<uint64_t>(run.pause.count() / 2), static_cast<uint64_t>(run.pause.count()))));
  run.retry = loop_->After(pause, [this, id] {
    // It outlives the call that it makes.
    auto ran = std::move(runs_.at(id).retry);
    const Operation* o = state_->FindOperation(id);
    if (o != nullptr && IsOpen(o->phase)) Begin(id);
  });
}

// What this leader decides it decides once: whether it was committed shows in the state, which is
// looked at when it has changed. A refusal shows there too.
void Driver::Advance(OperationId id, Phase next) {
  KVD_FAULT_POINT(kPhaseOver);
  Command command;
  command.kind = CommandKind::kAdvance;
  command.id = id;
  command.phase = runs_.at(id).phase;
  command.next = next;
  std::function<void(const bool&)> nothing = [](const bool&) {};
  propose_(std::move(command), [then = Then<bool>(id, nothing)](const absl::Status& status) {
    then(status.ok() ? absl::StatusOr<bool>(true) : status);
  });
  KVD_FAULT_POINT(kPhaseProposed);
}

ShardStep Driver::StepOf(OperationId id, const Operation& o, StepKind kind) const {
  ShardStep step;
  step.kind = kind;
  step.operation = id;
  step.shard = o.shard;
  step.epoch = o.epoch;
  for (const auto& [open, other] : state_->operations()) {
    if (!IsOpen(other.phase)) continue;
    step.closed_below = open;
    break;
  }
  return step;
}

void Driver::Step(OperationId id, GroupId group, ShardStep step,
                  std::function<void(const StepAnswer&)> next) {
  port_->Step(group, std::move(step), Then<StepAnswer>(id, std::move(next)));
}

void Driver::Move(OperationId id, const Operation& o) {
  switch (o.phase) {
    case Phase::kRunning: {
      ShardStep begin = StepOf(id, o, StepKind::kBeginExport);
      begin.peer = o.to;
      return Step(id, o.group, begin, [this, id, o](const StepAnswer&) {
        ShardStep import = StepOf(id, o, StepKind::kBeginImport);
        import.epoch = o.epoch + 1;
        import.range = state_->shards().RangeOf(state_->shards().Find(o.shard));
        import.peer = o.group;
        Step(id, o.to, import, [this, id, o](const StepAnswer&) { Copy(id, o); });
      });
    }
    case Phase::kForward: return Switch(id, o);
    case Phase::kPublished: {
      ShardStep drop = StepOf(id, o, StepKind::kDrop);
      drop.epoch = o.epoch + 1;
      return Step(id, o.group, drop, [this, id](const StepAnswer&) {
        KVD_FAULT_POINT(kDropped);
        Advance(id, Phase::kDone);
      });
    }
    case Phase::kCancelling: {
      ShardStep abort = StepOf(id, o, StepKind::kAbortImport);
      abort.epoch = o.epoch + 1;
      return Step(id, o.to, abort, [this, id, o](const StepAnswer&) {
        KVD_FAULT_POINT(kImportAborted);
        Step(id, o.group, StepOf(id, o, StepKind::kEndExport),
             [this, id](const StepAnswer&) { Advance(id, Phase::kCancelled); });
      });
    }
    case Phase::kDone:
    case Phase::kCancelled: return;
  }
}

// Rounds, each shorter than the one before, until so little is left that the freeze will be short.
void Driver::Copy(OperationId id, const Operation& o) {
  port_->Pull(o.to, o.shard, id, Timestamp(),
              Then<PullAnswer>(id, [this, id, o](const PullAnswer& pulled) {
                if (pulled.bytes <= options_.last_round_bytes_max)
                  return Advance(id, Phase::kForward);
                ShardStep told = StepOf(id, o, StepKind::kBeginExport);
                told.peer = o.to;
                told.at = pulled.copied;
                Step(id, o.group, told, [this, id, o](const StepAnswer&) { Copy(id, o); });
              }));
}

// The source is frozen: the target gets the rest, and serves.
void Driver::Switch(OperationId id, const Operation& o) {
  ShardStep freeze = StepOf(id, o, StepKind::kFreeze);
  Step(id, o.group, freeze, [this, id, o](const StepAnswer& frozen) {
    if (!frozen.shard || frozen.shard->state != ShardState::kFrozen) {
      return Fail(id, absl::InternalError(absl::StrCat("group ", o.group.value(),
                                                       " froze the shard and does not have it")));
    }
    KVD_FAULT_POINT(kFrozen);
    Timestamp at = frozen.shard->frozen_at;
    Timestamp safe_point = frozen.safe_point;
    port_->Pull(o.to, o.shard, id, at, Then<PullAnswer>(id, [=, this](const PullAnswer&) {
                  ShardStep complete = StepOf(id, o, StepKind::kCompleteImport);
                  complete.epoch = o.epoch + 1;
                  complete.at = at;
                  complete.safe_point = safe_point;
                  Step(id, o.to, complete, [this, id](const StepAnswer&) {
                    KVD_FAULT_POINT(kCompleted);
                    Advance(id, Phase::kPublished);
                  });
                }));
  });
}

void Driver::Reshape(OperationId id, const Operation& o) {
  ShardStep step =
      StepOf(id, o, o.kind == OperationKind::kSplit ? StepKind::kSplit : StepKind::kMerge);
  step.key = o.key;
  step.other = o.other;
  step.other_epoch = o.other_epoch;
  if (o.phase == Phase::kCancelling) step.kind = StepKind::kAbandon;
  Step(id, o.group, step, [this, id](const StepAnswer& answer) {
    bool done = answer.outcome == StepOutcome::kDone;
    Advance(id, done ? Phase::kDone : Phase::kCancelled);
  });
}

void Driver::Regroup(OperationId id, const Operation& o) {
  bool cancelling = o.phase == Phase::kCancelling;
  auto end = Then<StepOutcome>(id, [this, id, cancelling](const StepOutcome& outcome) {
    bool undone = cancelling && outcome == StepOutcome::kAborted;
    Advance(id, undone ? Phase::kCancelled : Phase::kDone);
  });
  auto removed = Then<StepOutcome>(id, [this, id, cancelling](const StepOutcome&) {
    Advance(id, cancelling ? Phase::kCancelled : Phase::kDone);
  });
  switch (o.kind) {
    case OperationKind::kCreateGroup:
      if (cancelling) return port_->RemoveGroup(o.group, o.added, std::move(removed));
      if (!o.shard) return port_->CreateGroup(o.group, o.added, std::move(end));
      return port_->CreateGroup(
          o.group, o.added, Then<StepOutcome>(id, [=, this](const StepOutcome&) {
            Step(id, o.group, StepOf(id, o, StepKind::kInstall),
                 [this, id](const StepAnswer&) { Advance(id, Phase::kDone); });
          }));
    case OperationKind::kChangeReplicas:
      if (cancelling) return port_->AbandonChange(id, o.group, o.added, o.removed, std::move(end));
      return port_->ChangeReplicas(id, o.group, o.added, o.removed, std::move(end));
    case OperationKind::kRetireGroup:
      return port_->RemoveGroup(o.group, state_->FindGroup(o.group)->replicas, std::move(removed));
    default: return;
  }
}

}  // namespace kvd::shardctrler
