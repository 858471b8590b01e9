#include "server/shard/data_group.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "proto/check.h"
#include "proto/error.h"
#include "proto/fault_point.h"
#include "proto/limits.h"

namespace kvd::shard {

class DataGroup::CommandProposal : public raft::Proposal {
 public:
  explicit CommandProposal(CommandCallback callback) : callback_(std::move(callback)) {}

  void Finish(absl::Status status) override {
    if (!status.ok()) return callback_(std::move(status));
    if (!result.status.ok()) return callback_(result.status);
    callback_(std::move(result));
  }

  CommandResult result;

 private:
  CommandCallback callback_;
};

absl::StatusOr<std::unique_ptr<DataGroup>> DataGroup::Open(storage::Engine* engine, GroupId group,
                                                           const DataGroupOptions& options) {
  auto meta = GroupMeta::Load(*engine, group);
  if (!meta.ok()) return meta.status();
  std::unique_ptr<DataGroup> opened(new DataGroup(engine, group, options, *std::move(meta)));
  absl::Status loaded = opened->LoadMachine();
  if (!loaded.ok()) return loaded;
  return opened;
}

DataGroup::DataGroup(storage::Engine* engine, GroupId group, const DataGroupOptions& options,
                     GroupMeta meta)
    : engine_(engine),
      group_(group),
      options_(options),
      meta_(std::move(meta)),
      writers_(options.clients_max),
      row_cache_(options.row_cache_bytes, options.row_cache_row_bytes_max),
      recent_(options.recent_writes_bytes_max),
      load_(group.value()),
      sweeper_(engine, group, meta_.clock) {
  NoteExports();
  writers_.Restart(meta_.clock);
}

DataGroup::~DataGroup() = default;

void DataGroup::Attach(Loop* loop, raft::Host* host, Verifier* verifier, Rebuilder* rebuilder,
                       const storage::DiskGuard* disk) {
  loop_ = loop;
  host_ = host;
  verifier_ = verifier;
  rebuilder_ = rebuilder;
  disk_ = disk;
  duty_timer_ = loop_->After(options_.duty_interval, [this] { Duty(); });
}

void DataGroup::Fatal(const absl::Status& status) {
  if (on_fatal) return on_fatal(status);
  CheckFailed(__FILE__, __LINE__, "the state can be read and written", status.ToString());
}

void DataGroup::Unread(const absl::Status& status) {
  if (!absl::IsDataLoss(status)) return Fatal(status);
  (void)Report(status);
}

bool DataGroup::Report(const absl::Status& damage) const {
  if (rebuilder_ == nullptr) return false;
  rebuilder_->Report(damage);
  return rebuilder_->Possible();
}

absl::Status DataGroup::Unreadable(const absl::Status& status) const {
  if (!absl::IsDataLoss(status)) return status;
  if (!Report(status)) return status;
  return absl::UnavailableError(
      absl::StrCat("the state of this replica is damaged and will be rebuilt from the others: ",
                   std::string(status.message())));
}

absl::Status DataGroup::Halt(const absl::Status& status) {
  halted_ = true;
  // It knows of versions that were not written.
  row_cache_.Clear();
  if (!absl::IsDataLoss(status) || !Report(status)) Fatal(status);
  return status;
}

void DataGroup::OnRoleChange(bool leads, Term term) {
  leads_ = leads;
  term_ = term;
  load_.Clear();
  clock_.Restart();
  duty_proposed_ = false;
  std::vector<Waiting> waiting;
  waiting.swap(waiting_);
  waiting_bytes_ = 0;
  for (Waiting& item : waiting) {
    item.callback(NotLeaderError(group_, host_->LeaderStore(group_), ""));
  }
}

uint64_t DataGroup::PhysicalMillis() {
  return clock_.Millis(host_->MedianWallMillis(group_), loop_->Now());
}

Timestamp DataGroup::AheadMax(uint64_t physical_millis) const {
  // Not an hour above the group's clock: then each use could drive it another hour ahead.
  return std::max(meta_.clock, TimestampFromMillis(physical_millis + kTimestampAheadMillisMax));
}

void DataGroup::Submit(Command command, CommandCallback callback) {
  absl::Status valid = Validate(command);
  if (!valid.ok()) return callback(std::move(valid));
  if (!leads_ || halted_) return callback(NotLeaderError(group_, host_->LeaderStore(group_), ""));
  if (!ready()) {
    size_t bytes = 0;
    for (const auto* operations : {&command.operations, &command.otherwise}) {
      for (const Operation& op : *operations) bytes += op.value.size();
    }
    if (waiting_.size() >= options_.waiting_max ||
        waiting_bytes_ + bytes > options_.waiting_bytes_max) {
      return callback(BusyError("too many commands wait for a new leader", 50));
    }
    waiting_bytes_ += bytes;
    waiting_.push_back({std::move(command), std::move(callback)});
    return;
  }
  ProposeNow(std::move(command), std::move(callback));
}

// Short of room, the group takes in no more data; deep in the reserve nothing of its clients at
// all.
absl::Status DataGroup::CheckDisk(const Command& command, size_t bytes) const {
  bool client = command.kind == CommandKind::kWrite || command.kind == CommandKind::kDeleteRange;
  bool adds = AddsData(command);
  if (!client && !adds) return absl::OkStatus();
  DiskState state = disk_->state();
  bool fits = state == DiskState::kOk && (!adds || disk_->Fits(bytes));
  if (!fits && (adds || state == DiskState::kCritical)) {
    if (state != DiskState::kOk && host_->HasRoom(group_) && host_->CaughtUpVoterWithRoom(group_)) {
      return BusyError("this store's disk is nearly full: another one is about to lead", 100);
    }
    uint64_t needed = disk_->needed_bytes() + storage::kDiskBytesPerByte * bytes;
    return DiskFullError(host_->LeaderStore(group_), disk_->free_bytes(), needed);
  }
  if (adds && disk_->compactions_lag())
    return BusyError("compactions lag behind what is written", 50);
  if (adds && !host_->HasRoom(group_)) return DiskFullError(StoreId(), 0, 0);
  return absl::OkStatus();
}

void DataGroup::ProposeNow(Command command, CommandCallback callback) {
  uint64_t physical_millis = PhysicalMillis();
  Timestamp ahead = AheadMax(physical_millis);
  // A step's is another group's clock, not a client's word.
  bool client = command.kind != CommandKind::kShard;
  if (client && std::max(command.token, command.timestamp) > ahead) {
    return callback(LimitError("token", ahead.value(),
                               std::max(command.token, command.timestamp).value(),
                               "(a timestamp, over an hour ahead of the cluster's clock)"));
  }
  last_assigned_ = std::max({last_assigned_ + 1, meta_.clock + 1, command.token + 1,
                             command.timestamp, TimestampFromMillis(physical_millis)});
  command.timestamp = last_assigned_;
  std::string encoded = Encode(command);
  absl::Status room = CheckDisk(command, encoded.size());
  if (!room.ok()) return callback(std::move(room));
  // Kept, since a refused proposal is dropped with its callback.
  auto shared = std::make_shared<CommandCallback>(std::move(callback));
  auto proposal = std::make_unique<CommandProposal>(
      [shared](absl::StatusOr<CommandResult> result) { (*shared)(std::move(result)); });
  absl::Status accepted = host_->Propose(group_, std::move(encoded), std::move(proposal));
  if (accepted.ok()) return;
  if (absl::IsUnavailable(accepted)) {
    accepted = NotLeaderError(group_, host_->LeaderStore(group_), "");
  }
  (*shared)(std::move(accepted));
}

absl::Status DataGroup::ApplyAll(absl::Span<const raft::ApplyItem> items) {
  constexpr size_t kEach = 64;  // a version's key and numbers, beyond what the entry has of them
  size_t bytes = kEach;
  for (const raft::ApplyItem& item : items) bytes += item.entry->data.size() + kEach;
  auto batch = engine_->NewBatch();
  batch->Reserve(bytes);
  for (const raft::ApplyItem& item : items) {
    KVD_FAULT_POINT(kBetweenEntries);
    absl::Status applied = ApplyOne(item, batch);
    if (!applied.ok()) return applied;
  }
  return WriteBatch(batch);
}

absl::Status DataGroup::Apply(absl::Span<const raft::ApplyItem> items) {
  absl::Status applied = ApplyAll(items);
  if (!applied.ok()) return Halt(applied);
  if (duty_rests_) AwaitDuty();
  if (!ready() || waiting_.empty()) return absl::OkStatus();
  KVD_FAULT_POINT(kLeaderReady);
  std::vector<Waiting> waiting;
  waiting.swap(waiting_);
  waiting_bytes_ = 0;
  for (Waiting& w : waiting) ProposeNow(std::move(w.command), std::move(w.callback));
  return absl::OkStatus();
}

// The effects of the entries since the last one written, the position and the clock in one batch.
absl::Status DataGroup::WriteBatch(std::unique_ptr<storage::WriteBatch>& batch) {
  meta_.StoreApplied(*batch, group_);
  KVD_FAULT_POINT(kBeforeBatch);
  absl::Status written = engine_->Write(*batch);
  if (!written.ok()) return written;
  KVD_FAULT_POINT(kAfterBatch);
  batch = engine_->NewBatch();
  unwritten_ = false;
  return absl::OkStatus();
}

// Whether applying the command looks at versions: it must not miss those in an unwritten batch.
bool DataGroup::Reads(const Command& command) const {
  if (command.kind == CommandKind::kDeleteRange || command.kind == CommandKind::kVerify)
    return true;
  if (command.kind != CommandKind::kWrite) return false;
  if (!command.conditions.empty()) return true;
  for (const Operation& op : command.operations) {
    if (op.type != Operation::Type::kPut) return true;
  }
  return command.writer && !writers_.IsNew(command.writer, command.token);
}

// One entry, into the batch.
absl::Status DataGroup::ApplyOne(const raft::ApplyItem& item,
                                 std::unique_ptr<storage::WriteBatch>& batch) {
  const raft::Entry& entry = *item.entry;
  KVD_CHECK(entry.index == meta_.applied.index + 1);
  CommandResult result;
  if (entry.type == raft::EntryType::kConfiguration) {
    ApplyConfiguration(entry, *batch);
  } else if (entry.type == raft::EntryType::kCommand) {
    auto command = DecodeCommand(entry.data);
    if (!command.ok()) return command.status();
    absl::Status written = unwritten_ && Reads(*command) ? WriteBatch(batch) : absl::OkStatus();
    if (!written.ok()) return written;
    Timestamp timestamp = std::max(command->timestamp, meta_.clock + 1);
    auto executed = Execute(*command, timestamp, *batch);
    if (!executed.ok()) return executed.status();
    result = *std::move(executed);
    meta_.clock = timestamp;
    if (command->kind == CommandKind::kClockAdvance) ExecuteClock(*batch);
    result.applied_at = timestamp;
    result.index = entry.index;
  }
  meta_.applied.index = entry.index;
  meta_.applied.term = entry.term;
  unwritten_ = true;
  if (on_applied) on_applied(entry, result);
  if (item.proposal != nullptr) {
    static_cast<CommandProposal*>(item.proposal)->result = std::move(result);
  }
  return absl::OkStatus();
}

void DataGroup::ApplyConfiguration(const raft::Entry& entry, storage::WriteBatch& batch) {
  KVD_CHECK(raft::Configuration::Decode(entry.data, &meta_.applied.configuration));
  meta_.StoreConfiguration(batch, group_);
}

absl::StatusOr<CommandResult> DataGroup::Execute(const Command& command, Timestamp timestamp,
                                                 storage::WriteBatch& batch) {
  CommandResult result;
  switch (command.kind) {
    case CommandKind::kWrite:
    case CommandKind::kDeleteRange: return Write(command, timestamp, batch);
    case CommandKind::kClockAdvance: break;
    case CommandKind::kSafePoint: RaiseSafePoint(command.safe_point, timestamp, batch); break;
    case CommandKind::kVerify: BeginVerification(command.verification, timestamp); break;
    case CommandKind::kMachine: ExecuteMachine(command, timestamp, &result, batch); break;
    case CommandKind::kShard:
      result.status = ExecuteShard(command.step, timestamp, &result, batch);
      break;
    case CommandKind::kFence:
      meta_.fence = std::max(meta_.fence, command.operation);
      meta_.StoreFence(batch, group_);
      break;
  }
  return result;
}

absl::StatusOr<CommandResult> DataGroup::Write(const Command& command, Timestamp timestamp,
                                               storage::WriteBatch& batch) {
  Executor executor(group_, engine_, &meta_, &writers_, &batch, &row_cache_, &recent_,
                    leads_ ? &load_ : nullptr);
  auto result = command.kind == CommandKind::kWrite ? executor.Write(command, timestamp)
                                                    : executor.DeleteRange(command, timestamp);
  if (executor.last_death()) {
    sweeper_.NoteDeath(executor.first_death());
    sweeper_.NoteDeath(executor.last_death());
  }
  return result;
}

// Not beyond what a shard that is being copied still needs.
void DataGroup::RaiseSafePoint(Timestamp to, Timestamp now, storage::WriteBatch& batch) {
  if (to >= now) return;
  Timestamp given_up = std::min(to, meta_.shards.pin());
  if (to <= meta_.floor && given_up <= meta_.safe_point) return;
  KVD_FAULT_POINT(kSafePointRaised);
  meta_.safe_point = std::max(meta_.safe_point, given_up);
  meta_.floor = std::max(meta_.floor, to);
  meta_.StoreSafePoint(batch, group_);
}

void DataGroup::ExecuteClock(storage::WriteBatch& batch) {
  batch.DeleteRange(ExpiryKey(group_, Timestamp()), ExpiryKey(group_, meta_.clock));
}

// Everything before this entry is in the engine: what the entry itself changes is the clock alone.
void DataGroup::BeginVerification(uint64_t id, Timestamp timestamp) {
  Index index = meta_.applied.index + 1;
  // One that is replayed long after: nobody waits for it any more. (By the wall clock alone a new
  // one may look as old: where clocks have jumped, the group's follows slowly.)
  bool old = MillisOf(timestamp) + kVerificationMillisMax < loop_->WallMillis();
  if (old && host_->MayBeReplayed(group_, index)) return;
  verifier_->Begin(id, group_, index, engine_->Snapshot(), meta_.safe_point, timestamp);
}

Index DataGroup::DurableIndex() {
  auto bytes = engine_->GetPersisted(AppliedKey(group_));
  auto index = bytes.ok() ? DecodeAppliedIndex(*bytes) : bytes.status();
  if (index.ok()) return *index;
  Unread(index.status());
  return Index();
}

absl::Status DataGroup::Wipe(ReplicaId replica) {
  row_cache_.Clear();
  auto [begin, end] = storage::GroupBounds(group_);
  auto batch = engine_->NewBatch();
  batch->DeleteRange(begin, end);
  meta_ = GroupMeta();
  meta_.replica = replica;
  NoteExports();
  writers_.Restart(Timestamp());
  sweeper_ = storage::Sweeper(engine_, group_, Timestamp());
  meta_.StoreApplied(*batch, group_);
  absl::Status written = engine_->Write(*batch);
  if (written.ok()) written = engine_->Flush();
  return written.ok() ? LoadMachine() : written;
}

}  // namespace kvd::shard
