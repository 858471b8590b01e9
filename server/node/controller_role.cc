#include "server/node/controller_role.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "proto/bytes.h"
#include "proto/error.h"
#include "proto/fault_point.h"
#include "proto/limits.h"
#include "shardctrler/sizing.h"

namespace kvd::node {

namespace wire = internal::v1;
using shardctrler::Command;
using shardctrler::CommandKind;

ControllerRole::ControllerRole(Loop* loop, shard::DataGroup* group,
                               const shardctrler::Machine* machine, shardctrler::Port* port,
                               const ControllerOptions& options)
    : loop_(loop),
      group_(group),
      machine_(machine),
      options_(options),
      driver_(
          loop, &machine->state(), port,
          [this](Command command, std::function<void(absl::Status)> done) {
            Propose(command, [this, command, done = std::move(done)](const auto& result) {
              if (result.ok()) NoteEnd(command);
              done(result.status());
            });
          },
          options.driver) {}

ControllerRole::~ControllerRole() = default;

void ControllerRole::NoteEnd(const Command& command) {
  if (command.kind != CommandKind::kAdvance || shardctrler::IsOpen(command.next)) return;
  const shardctrler::Operation* over = state().FindOperation(command.id);
  if (over != nullptr) ++ended_[{over->kind, command.next}];
}

void ControllerRole::Tick() {
  NoteRole();
  if (!leads_) return;
  driver_.Look();
  if (!options_.by_hand && loop_->Now() >= next_schedule_) Begin();
}

void ControllerRole::NoteRole() {
  bool leads = group_->ready() && state().ids().cluster;
  Term term = group_->applied().term;
  if (leads != leads_ || (leads && term != term_)) {
    leads_ = leads;
    term_ = term;
    if (leads) Lead();
    driver_.SetLeads(leads);
  }
}

void ControllerRole::Lead() {
  led_since_ = loop_->Now();
  next_schedule_ = loop_->Now() + options_.schedule_interval;
  heard_.clear();
  load_.Clear();
  handovers_.clear();
  dwelling_.Clear();
  planner_.Clear();
  limits_ = shardctrler::LimitsFor(state(), load_);
  beginning_ = 0;
}

Duration ControllerRole::SilenceOf(StoreId store) const {
  auto it = heard_.find(store);
  return loop_->Now() - (it == heard_.end() ? led_since_ : it->second.at);
}

// What was asked for and is not in the state yet would be asked for again.
void ControllerRole::Begin() {
  auto began = loop_->Now();
  next_schedule_ = loop_->Now() + options_.schedule_interval;
  if (beginning_ > 0) return;
  NoteSilent();
  load_.Follow(state());
  dwelling_.Follow(state(), began);
  limits_ = shardctrler::LimitsFor(state(), load_);
  shardctrler::View view = ViewNow();
  SpreadLeaders(view);
  std::vector<Command> commands;
  for (OperationId id : shardctrler::Hopeless(state(), view)) {
    Command& command = commands.emplace_back();
    command.kind = CommandKind::kAdvance;
    command.id = id;
    command.next = shardctrler::Phase::kCancelling;
  }
  for (const shardctrler::Operation& operation : planner_.Next(state(), view)) {
    Command& command = commands.emplace_back();
    command.kind = CommandKind::kOpen;
    command.operation = operation;
  }
  // However large the cluster is, the store has other things to do.
  constexpr int kPart = 20;
  auto now = loop_->Now();
  schedule_time_ = now - began;
  next_schedule_ = std::max(next_schedule_, now + kPart * schedule_time_);
  for (const Command& command : commands) {
    KVD_FAULT_POINT(kOperationBegun);
    ++beginning_;
    Propose(command, [this, alive = std::weak_ptr<bool>(alive_), term = term_](const auto&) {
      if (!alive.expired() && term == term_ && beginning_ > 0) --beginning_;
    });
  }
}

void ControllerRole::Propose(const Command& command, Done<shardctrler::Result> done) {
  shard::Command logged;
  logged.kind = shard::CommandKind::kMachine;
  logged.payload = Encode(command);
  group_->Submit(std::move(logged),
                 [this, alive = std::weak_ptr<bool>(alive_),
                  done = std::move(done)](absl::StatusOr<shard::CommandResult> result) {
                   // The replica is being removed: its proposals end without it.
                   if (alive.expired())
                     return done(OutcomeUnknownError("the controller's replica was removed here"));
                   if (!result.ok()) return done(result.status());
                   done(shardctrler::DecodeResult(result->answer));
                   if (!alive.expired() && leads_) driver_.Look();
                 });
}

// Whether those whose place it takes are gone, as far as a leader can tell.
absl::Status ControllerRole::CheckPlace(const shardctrler::JoiningStore& joining) const {
  for (const auto& [id, store] : state().stores()) {
    bool same = store.address == joining.address || (joining.lost && id == joining.lost);
    if (!same || store.nonce == joining.nonce || store.state == shardctrler::StoreState::kGone)
      continue;
    Duration silence = SilenceOf(id);
    if (silence >= options_.silence_min) continue;
    auto ms = std::chrono::duration_cast<milliseconds>(silence).count();
    if (heard_.contains(id)) {
      return absl::AlreadyExistsError(
          absl::StrCat("address ", Printable(joining.address), " is that of store ", id.value(),
                       ", which was heard from ", ms,
                       " ms ago: one of the two needs another --listen or --advertise"));
    }
    return absl::UnavailableError(absl::StrCat("the controller leads for ", ms,
                                               " ms and can't tell yet whether store ", id.value(),
                                               " at ", Printable(joining.address), " is gone"));
  }
  return absl::OkStatus();
}

void ControllerRole::Join(const shardctrler::JoiningStore& joining, Done<StoreId> done) {
  // For how long stores were silent counts from when this leader began.
  NoteRole();
  if (!leads_) {
    return done(absl::UnavailableError("the controller's new leader is not ready yet"));
  }
  if (joining.address.empty() || joining.address.size() > kAddressBytesMax)
    return done(LimitError("address", kAddressBytesMax, joining.address.size(), "bytes"));
  if (joining.nonce == 0) return done(LimitError("join_nonce", 1, 0, ""));
  absl::Status place = CheckPlace(joining);
  if (!place.ok()) return done(place);
  // Two that come at once: the second one is told of the first once that is known.
  if (!joining_.insert(joining.address).second) {
    return done(absl::UnavailableError(
        absl::StrCat("a store at address ", Printable(joining.address), " is being let in")));
  }
  Command command;
  command.kind = CommandKind::kJoin;
  command.joining = {joining};
  Propose(command, [this, alive = std::weak_ptr<bool>(alive_), address = joining.address,
                    done = std::move(done)](absl::StatusOr<shardctrler::Result> result) {
    if (alive.expired()) return done(result.status());
    joining_.erase(address);
    if (!result.ok()) return done(result.status());
    heard_[result->stores[0]].at = loop_->Now();
    done(result->stores[0]);
  });
}

// A store may have been started elsewhere, or on another machine.
void ControllerRole::UpdateStore(const wire::ReportRequest& report) {
  StoreId id(report.store_id());
  const shardctrler::Store* known = state().FindStore(id);
  if (known == nullptr || report.join_nonce() != known->nonce) return;
  shardctrler::JoiningStore now;
  now.address = report.address();
  now.nonce = known->nonce;
  now.cores = report.cores();
  for (const auto& [name, value] : report.labels()) now.labels[name] = value;
  if (now.address == known->address && now.cores == known->cores && now.labels == known->labels)
    return;
  Command command;
  command.kind = CommandKind::kUpdateStore;
  command.store = id;
  command.joining = {now};
  Propose(command, [](const auto&) {});
}

}  // namespace kvd::node
