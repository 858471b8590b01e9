#include "server/node/node.h"

#include "proto/error.h"
#include "proto/fault_point.h"

namespace kvd::node {
namespace {

constexpr Duration kTickInterval = milliseconds(50);
constexpr Duration kRemovalInterval = milliseconds(400);
// What was refused somewhere makes the map be asked for before its time, but not more often.
constexpr Duration kReportIntervalMin = milliseconds(20);

}  // namespace

Node::Node(Loop* loop, raft::Host* host, Groups* groups, StoreCaller* caller,
           service::Forwarder* forwarder, const NodeOptions& options)
    : loop_(loop), host_(host), groups_(groups), options_(options), load_report_(host, groups) {
  caller_ = std::make_unique<GroupCaller>(
      loop, &routing_, caller, options_.cluster, options_.store,
      [this](wire::StoreRequest request, StoreDone done) {
        Handle(std::move(request), std::move(done));
      },
      [this](GroupId group) { return host_->LeaderStore(group); });
  port_ = std::make_unique<RemotePort>(loop, caller_.get());
  importer_ = std::make_unique<Importer>(loop, host, caller_.get(), options_.importer);
  router_ = std::make_unique<NodeRouter>(host, groups, &routing_, options_.store, options_.address);
  router_->on_outdated = [this] { ReportSoon(); };
  dispatcher_ = std::make_unique<service::Dispatcher>(
      loop, host, router_.get(), forwarder,
      service::Identity{options_.cluster, options_.store, options_.address}, options_.dispatcher);
  routing_.NoteAddress(options_.store, options_.address);
  groups_->on_created = [this](GroupId id) {
    LocalGroup* local = groups_->Find(id);
    local->group->on_shards_changed = [this] { dispatcher_->OnShardsChanged(); };
    if (local->machine != nullptr) {
      controller_ = std::make_unique<ControllerRole>(
          loop_, local->group.get(), local->machine.get(), port_.get(), options_.controller);
      desk_ = std::make_unique<ControllerDesk>(controller_.get(), local->group.get());
    }
    ReportSoon();
  };
  groups_->on_removing = [this](GroupId id) {
    importer_->Forget(id);
    if (id == shardctrler::kControllerGroup) {
      desk_.reset();
      controller_.reset();
    }
    ReportSoon();
  };
}

Node::~Node() {
  Stop();
  // What is held there is refused.
  dispatcher_.reset();
}

void Node::Stop() {
  if (alive_ == nullptr) return;  // stopped already, and what it used may be gone
  groups_->on_created = nullptr;
  groups_->on_removing = nullptr;
  tick_.reset();
  alive_.reset();
  caller_->Close();
  router_->Stop();
  // What they call back touches what is still here.
  importer_.reset();
  desk_.reset();
  controller_.reset();
}

void Node::Start() {
  tick_ = loop_->After(kTickInterval, [this] { Tick(); });
  AskStanding();
}

void Node::Tick() {
  loop_->Post([timer = std::shared_ptr<Timer>(std::move(tick_))] {});
  tick_ = loop_->After(UntilNext(loop_->Now(), kTickInterval), [this] { Tick(); });
  if (loop_->Now() >= next_removal_) {
    next_removal_ = loop_->Now() + kRemovalInterval;
    groups_->RemoveWhoLeft();
  }
  if (controller_ != nullptr) controller_->Tick();
  if (loop_->Now() >= next_report_) Report();
  // The controller may be away, or be this store's own idea.
  if (reported_term_ == 0 && loop_->Now() >= next_standing_) AskStanding();
}

void Node::ReportSoon() {
  next_report_ = std::min(next_report_, loop_->Now() + kReportIntervalMin);
}

bool Node::FillReport(wire::ReportRequest* report) {
  reporting_held_.clear();
  for (const auto& [id, local] : groups_->all()) reporting_held_[id] = groups_->ReplicaOf(id);
  report->set_store_id(options_.store.value());
  *report->mutable_routing() = routing_.Request();
  report->set_join_nonce(options_.nonce);
  bool whole = reported_term_ == 0 || reporting_held_ != reported_held_;
  if (!whole) return false;
  report->set_whole(true);
  report->set_address(options_.address);
  report->set_cores(options_.cores);
  for (const auto& [name, value] : options_.labels) (*report->mutable_labels())[name] = value;
  for (const auto& [group, replica] : reporting_held_) {
    auto* held = report->add_held();
    held->set_group_id(group.value());
    held->set_replica_id(replica.value());
  }
  return true;
}

void Node::Report() {
  if (reporting_) return;
  next_report_ = loop_->Now() + options_.report_interval;
  reporting_ = true;
  wire::StoreRequest request;
  FillReport(request.mutable_report());
  load_report_.Fill(options_.disk_space ? options_.disk_space() : DiskSpace(),
                    request.mutable_report());
  FillMembers(request.mutable_report());
  KVD_FAULT_POINT(kReportLeaves);
  caller_->ToLeader(shardctrler::kControllerGroup, std::move(request), options_.report_interval,
                    [this](absl::StatusOr<wire::StoreResponse> answer) {
                      reporting_ = false;
                      OnReported(std::move(answer));
                    });
}

void Node::OnReported(absl::StatusOr<wire::StoreResponse> answer) {
  if (!answer.ok()) {
    if (absl::IsFailedPrecondition(answer.status()) &&
        InfoOf(answer.status()).kind == ErrorKind::kNone) {
      NoteRemoved();
    }
    // Whoever leads next knows nothing.
    reported_term_ = 0;
    load_report_.Reset();
    return;
  }
  const wire::ReportResponse& report = answer->report();
  // What was told to one leader is not known to the next.
  bool same = reported_term_ == report.leader_term();
  reported_held_ = reporting_held_;
  if (!same && reported_term_ != 0) {
    reported_term_ = 0;
    load_report_.Reset();
    ReportSoon();
  } else {
    load_report_.Arrived();
    reported_term_ = report.leader_term();
  }
  routing_.Take(report.routing());
  KVD_FAULT_POINT(kRoutingTaken);
  if (!routing_.Request().next_key().empty()) ReportSoon();
  if (load_report_.more()) ReportSoon();
  TakeAnswer(report);
  if (on_routing) on_routing();
}

void Node::TakeAnswer(const wire::ReportResponse& report) {
  if (report.has_limits()) {
    load_report_.SetLimits(report.limits());
    importer_->SetRate(report.limits().migration_rate());
  }
  for (const auto& transfer : report.transfers())
    HandOver(GroupId(transfer.group_id()), StoreId(transfer.store_id()));
  for (const auto& orphan : report.orphans()) {
    loop_->Post([this, alive = std::weak_ptr<bool>(alive_), group = GroupId(orphan.group_id()),
                 replica = ReplicaId(orphan.replica_id())] {
      if (!alive.expired()) groups_->Remove(group, replica, [](const absl::Status&) {});
    });
  }
}

// If it comes to nothing, that is told as well.
void Node::HandOver(GroupId group, StoreId to) {
  load_report_.TellLeads();
  if (groups_->Find(group) == nullptr || !host_->core(group).IsLeader()) return;
  ReplicaId target = host_->core(group).configuration().ReplicaOn(to);
  KVD_FAULT_POINT(kHandingOver);
  if (target) (void)host_->TransferLeadership(group, target);
}

void Node::Bootstrap(std::function<void(absl::Status)> done) {
  if (controller_ == nullptr || !controller_->ready())
    return done(absl::UnavailableError("the controller is not ready yet"));
  shardctrler::Command command;
  command.kind = shardctrler::CommandKind::kBootstrap;
  command.cluster = options_.cluster;
  shardctrler::JoiningStore self;
  self.address = options_.address;
  self.nonce = options_.nonce;
  self.cores = options_.cores;
  self.labels = options_.labels;
  command.joining = {self};
  controller_->Propose(command,
                       [done = std::move(done)](const auto& result) { done(result.status()); });
}

}  // namespace kvd::node
