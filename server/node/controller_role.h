// What a store does beside its replica of the controller's group: while that leads, it takes in
// what stores report, lets stores in, has operations begun that the scheduler asks for, and carries
// out what is open. Lives on the store's loop.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <vector>

#include "kvd/internal/v1/store.pb.h"
#include "server/shard/data_group.h"
#include "shardctrler/driver.h"
#include "shardctrler/leaders.h"
#include "shardctrler/machine.h"
#include "shardctrler/planner.h"
#include "shardctrler/sizing.h"

namespace kvd::node {

struct ControllerOptions {
  // Between two looks at what to begin.
  Duration schedule_interval = milliseconds(500);
  // Nothing is begun by the scheduler: an operator, or a test, steers.
  bool by_hand = false;
  // Who had an address is gone once it was silent for so long.
  Duration silence_min = std::chrono::seconds(2);
  // Between two transfers of one group's leadership.
  Duration transfer_pause = std::chrono::seconds(10);
  shardctrler::DriverOptions driver;
};

// What a store is told that was removed: nothing else is FAILED_PRECONDITION in answer to a report.
absl::Status RemovedError(StoreId id);

class ControllerRole {
 public:
  template <class T>
  using Done = std::function<void(absl::StatusOr<T>)>;

  // All given outlive it.
  ControllerRole(Loop* loop, shard::DataGroup* group, const shardctrler::Machine* machine,
                 shardctrler::Port* port, const ControllerOptions& options);
  ~ControllerRole();

  // Several times a second.
  void Tick();
  // This replica leads and knows all that was committed before.
  bool ready() const { return group_->ready(); }
  const shardctrler::State& state() const { return machine_->state(); }
  // For how long a store was not heard of, as far as this leader can tell.
  Duration SilenceOf(StoreId store) const;

  // Has the log take a command. The errors are the group's, or the machine's.
  void Propose(const shardctrler::Command& command, Done<shardctrler::Result> done);
  // Lets a store in: its id. ALREADY_EXISTS while a live store has its address, UNAVAILABLE while
  // that can't be told.
  void Join(const shardctrler::JoiningStore& joining, Done<StoreId> done);
  // What a store reports, and what it is told. FAILED_PRECONDITION if it was removed. Requires:
  // ready().
  absl::StatusOr<internal::v1::ReportResponse> Report(const internal::v1::ReportRequest& report);

  // What stores have told this leader of their load.
  const shardctrler::ClusterLoad& load() const { return load_; }
  // What the scheduler sees.
  shardctrler::View ViewNow() const;
  // What it wanted when it last looked.
  const std::vector<shardctrler::Operation>& planned() const { return planner_.last(); }
  const shardctrler::Dwelling& dwelling() const { return dwelling_; }

  // Operations that were over while this replica led, by kind and how they ended.
  using Ended = std::map<std::pair<shardctrler::OperationKind, shardctrler::Phase>, uint64_t>;
  const Ended& ended() const { return ended_; }
  // How long the last look at what to begin took.
  Duration schedule_time() const { return schedule_time_; }

  // Why an operation does not get on; empty if nothing is in its way.
  std::string Trouble(OperationId id) const { return driver_.Trouble(id); }

 private:
  // Whether this replica leads now, and since when.
  void NoteRole();
  void Lead();
  void Begin();
  void NoteEnd(const shardctrler::Command& command);
  absl::Status CheckPlace(const shardctrler::JoiningStore& joining) const;
  void UpdateStore(const internal::v1::ReportRequest& report);

  // controller_reports.cc
  void NoteSilent();
  void SpreadLeaders(const shardctrler::View& view);
  void Transfers(StoreId from, internal::v1::ReportResponse* out);
  void FindOrphans(StoreId store, internal::v1::ReportResponse* out);
  bool IsWanted(GroupId group, ReplicaId replica) const;
  void AdoptMembers(const internal::v1::ReportRequest::Members& told);

  Loop* const loop_;
  shard::DataGroup* const group_;
  const shardctrler::Machine* const machine_;
  const ControllerOptions options_;
  shardctrler::Driver driver_;
  bool leads_ = false;
  Term term_;
  MonotonicTime led_since_;
  MonotonicTime next_schedule_;
  size_t beginning_ = 0;  // operations on their way to the log
  shardctrler::ClusterLoad load_;
  shardctrler::SizeLimits limits_;  // as of the last look at what to begin
  shardctrler::Dwelling dwelling_;
  shardctrler::Planner planner_;
  Ended ended_;
  Duration schedule_time_ = Duration::zero();
  // Leaderships that are to go elsewhere, and until when nothing more is asked of their groups.
  struct Handover {
    shardctrler::Transfer transfer;
    MonotonicTime until;
    bool told = false;
  };
  std::map<GroupId, Handover> handovers_;
  // Addresses of stores that are being let in.
  std::set<std::string> joining_;
  // Groups whose members are being put right.
  std::set<GroupId> adopting_;
  // What a store has told this leader.
  struct Heard {
    MonotonicTime at;
    std::vector<internal::v1::ReportRequest::Held> held;
    Timestamp checked;  // for orphans, with what was known up to here
  };
  std::map<StoreId, Heard> heard_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace kvd::node
