// What people ask the controller to do, as commands.
#include "absl/strings/str_cat.h"
#include "proto/bytes.h"
#include "proto/error.h"
#include "server/node/controller_desk.h"
#include "shardctrler/scatter.h"

namespace kvd::node {

using shardctrler::Command;
using shardctrler::CommandKind;
using shardctrler::OperationKind;
using Case = internal::v1::StoreRequest;

absl::StatusOr<Command> ControllerDesk::CommandOf(const internal::v1::StoreRequest& request) const {
  Command command;
  switch (request.request_case()) {
    case Case::kBegin: return Begin(request.begin());
    case Case::kCancel: return Cancel(request.cancel());
    case Case::kSetStoreState: {
      using Store = v1::RoutingResponse::Store;
      const v1::SetStoreStateRequest& wanted = request.set_store_state();
      command.kind = CommandKind::kSetStoreState;
      command.store = StoreId(wanted.store_id());
      command.lost = wanted.lost();
      switch (wanted.state()) {
        case Store::SERVING: command.state = shardctrler::StoreState::kServing; break;
        case Store::DRAINING: command.state = shardctrler::StoreState::kDraining; break;
        case Store::GONE: command.state = shardctrler::StoreState::kGone; break;
        default:
          return absl::InvalidArgumentError(
              absl::StrCat("state: ", static_cast<int>(wanted.state()), " is not known"));
      }
      return command;
    }
    case Case::kSetSetting:
      command.kind = CommandKind::kSet;
      command.name = request.set_setting().name();
      command.value = request.set_setting().value();
      return command;
    case Case::kSetStoreLabel:
      command.kind = CommandKind::kSetLabel;
      command.store = StoreId(request.set_store_label().store_id());
      command.name = request.set_store_label().name();
      command.text = request.set_store_label().value();
      return command;
    default: return absl::InvalidArgumentError("request: holds nothing to do");
  }
}

absl::Status ControllerDesk::FillChange(const v1::BeginRequest::ChangeReplicas& change,
                                        shardctrler::Operation* operation) const {
  operation->kind = OperationKind::kChangeReplicas;
  operation->group = GroupId(change.group_id());
  for (uint64_t store : change.add_stores())
    operation->added.push_back({ReplicaId(), StoreId(store)});
  const shardctrler::Group* group = role_->state().FindGroup(operation->group);
  if (group == nullptr) {
    return absl::NotFoundError(absl::StrCat("there is no group ", change.group_id()));
  }
  for (uint64_t store : change.remove_stores()) {
    size_t before = operation->removed.size();
    for (const shardctrler::Replica& r : group->replicas) {
      if (r.store == StoreId(store)) operation->removed.push_back(r.id);
    }
    if (operation->removed.size() > before) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "remove_stores: store ", store, " holds no replica of group ", change.group_id()));
  }
  return absl::OkStatus();
}

absl::StatusOr<Command> ControllerDesk::Begin(const v1::BeginRequest& request) const {
  Command command;
  command.kind = CommandKind::kOpen;
  shardctrler::Operation& o = command.operation;
  o.by_hand = true;
  o.reason = request.reason().empty() ? "an operator asked for it" : request.reason();
  switch (request.operation_case()) {
    case v1::BeginRequest::kMove:
      o.kind = OperationKind::kMove;
      o.shard = ShardId(request.move().shard_id());
      o.to = GroupId(request.move().to_group_id());
      return command;
    case v1::BeginRequest::kSplit: {
      const shardctrler::ShardMap& shards = role_->state().shards();
      if (shards.empty()) return absl::UnavailableError("the cluster has no shards yet");
      o.kind = OperationKind::kSplit;
      o.key = request.split().key();
      if (o.key.empty()) return LimitError("key", 1, 0, "bytes");
      o.shard = shards.At(o.key)->second.id;
      return command;
    }
    case v1::BeginRequest::kMerge:
      o.kind = OperationKind::kMerge;
      o.shard = ShardId(request.merge().shard_id());
      return command;
    case v1::BeginRequest::kChangeReplicas: {
      absl::Status filled = FillChange(request.change_replicas(), &o);
      if (!filled.ok()) return filled;
      return command;
    }
    case v1::BeginRequest::kCreateGroup:
      o.kind = OperationKind::kCreateGroup;
      for (uint64_t store : request.create_group().stores())
        o.added.push_back({ReplicaId(), StoreId(store)});
      return command;
    case v1::BeginRequest::kRetireGroup:
      o.kind = OperationKind::kRetireGroup;
      o.group = GroupId(request.retire_group().group_id());
      return command;
    case v1::BeginRequest::OPERATION_NOT_SET: break;
  }
  return absl::InvalidArgumentError("operation: none is given");
}

void ControllerDesk::Scatter(const v1::ScatterRequest& request, const Done& done) {
  constexpr size_t kAtOnce = 64;
  KeyRange range{request.start(), request.end()};
  if (!range.end.empty() && range.end <= range.start) {
    return done(absl::InvalidArgumentError(absl::StrCat(
        "end: ", Printable(range.end), " is not behind start, ", Printable(range.start))));
  }
  shardctrler::Scattering plan =
      shardctrler::ScatterShards(role_->state(), &role_->load(), range, kAtOnce);
  internal::v1::StoreResponse out;
  out.mutable_scatter()->set_shards(plan.shards);
  out.mutable_scatter()->set_busy(plan.busy);
  if (plan.moves.empty()) return done(std::move(out));
  struct Pending {
    internal::v1::StoreResponse out;
    size_t left;
    absl::Status failed;
  };
  auto pending = std::make_shared<Pending>(Pending{std::move(out), plan.moves.size(), {}});
  for (shardctrler::Operation& move : plan.moves) {
    Command command;
    command.kind = CommandKind::kOpen;
    command.operation = std::move(move);
    role_->Propose(command, [pending, done](const absl::StatusOr<shardctrler::Result>& result) {
      if (result.ok()) {
        pending->out.mutable_scatter()->add_operation_ids(result->operation.value());
      } else {
        pending->failed = result.status();
      }
      if (--pending->left > 0) return;
      // Some that began are news enough: whoever asks again is told of the rest.
      if (pending->out.scatter().operation_ids().empty()) return done(pending->failed);
      done(std::move(pending->out));
    });
  }
}

absl::StatusOr<Command> ControllerDesk::Cancel(const v1::CancelRequest& request) const {
  OperationId id(request.operation_id());
  const shardctrler::Operation* known = role_->state().FindOperation(id);
  if (known == nullptr) {
    return absl::NotFoundError(absl::StrCat("there is no operation ", id.value()));
  }
  Command command;
  command.kind = CommandKind::kAdvance;
  command.id = id;
  command.phase = known->phase;
  command.next = shardctrler::Phase::kCancelling;
  return command;
}

}  // namespace kvd::node
