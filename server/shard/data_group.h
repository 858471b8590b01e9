// The replicated state machine of a data group: applies its log to MVCC storage, assigns timestamps
// while it leads, says at which timestamp a read may be answered, and keeps the clock and the safe
// point moving. Lives on the host's loop.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "raft/host.h"
#include "raft/state_machine.h"
#include "server/shard/command.h"
#include "server/shard/executor.h"
#include "server/shard/group_clock.h"
#include "server/shard/group_meta.h"
#include "server/shard/rebuilder.h"
#include "server/shard/shard_export.h"
#include "server/shard/verifier.h"
#include "server/shard/writer_table.h"
#include "server/storage/disk_guard.h"
#include "server/storage/record_machine.h"
#include "server/storage/row_cache.h"
#include "server/storage/sweeper.h"

namespace kvd::shard {

struct DataGroupOptions {
  // History older than this is given up.
  Duration retention = std::chrono::minutes(10);
  Duration duty_interval = milliseconds(100);
  // Looked at in one duty for what is dead and can go.
  uint64_t sweep_keys_max = 500;
  size_t snapshot_chunk_bytes = 256 << 10;
  // Of memory for versions that were read lately; 0: none are kept. And what one of them may take.
  size_t row_cache_bytes = 32 << 20;
  size_t row_cache_row_bytes_max = 512 << 10;
  size_t clients_max = 100'000;
  // Of memory for the keys that were written to shards while they move.
  size_t recent_writes_bytes_max = 16 << 20;
  size_t waiting_max = 16'384;  // commands held while a new leader gets ready
  size_t waiting_bytes_max = 64 << 20;
  raft::ReadMode read_mode = raft::ReadMode::kLease;
  // What commands of kind kMachine are for; null: such a command is refused. Outlives the group.
  storage::RecordMachine* machine = nullptr;
};

enum class Consistency { kLinearizable, kSnapshot, kBoundedStale };

struct ReadSpec {
  Consistency consistency = Consistency::kLinearizable;
  Timestamp timestamp;                       // kSnapshot; 0: now
  Duration staleness_max = milliseconds(0);  // kBoundedStale
  std::optional<raft::ReadMode> mode;
};

// Where a read may look. Confirm it after reading, before answering.
struct ReadPoint {
  Timestamp at;
  std::optional<raft::ReadTicket> ticket;  // none: needs no confirmation
};

using ReadPointCallback = std::function<void(absl::StatusOr<ReadPoint>)>;

class DataGroup : public raft::StateMachine {
 public:
  // Loads what the engine holds of the group. The engine outlives it.
  static absl::StatusOr<std::unique_ptr<DataGroup>> Open(storage::Engine* engine, GroupId group,
                                                         const DataGroupOptions& options);
  ~DataGroup() override;

  // Before the host starts the group. All given outlive the host.
  void Attach(Loop* loop, raft::Host* host, Verifier* verifier, Rebuilder* rebuilder,
              const storage::DiskGuard* disk);
  // Before the host ends: does nothing by itself any more.
  void Detach() { duty_timer_.reset(); }

  // Replicates a command and calls back with what came of it, or with why it was not applied.
  // INVALID_ARGUMENT for a command beyond the limits.
  void Submit(Command command, CommandCallback callback);

  // Finds where a read of this kind may look now; calls back at once if it can.
  void PrepareRead(const ReadSpec& spec, ReadPointCallback callback);
  // The same, if it can be told at once.
  std::optional<ReadPoint> TryPrepareRead(const ReadSpec& spec);
  // Whether what was read at the point may be answered; if not, prepare again with kReadIndex.
  bool Confirm(const ReadPoint& point) const;

  // The key's live value at a point that PrepareRead gave, as MvccReader::Get; from the row cache,
  // if it is there.
  absl::StatusOr<std::optional<storage::StoredVersion>> Get(std::string_view user_key,
                                                            Timestamp at);

  // A part of the history of a shard that moves away. UNAVAILABLE if this replica is not as far as
  // that, or does not know of the move; OUT_OF_RANGE if `after` is older than the history kept.
  absl::StatusOr<ExportedRows> Export(const ExportRequest& request) const;

  // What to answer when a read here failed: damage is reported, and if the state will be rebuilt
  // the caller is to try again, UNAVAILABLE.
  absl::Status Unreadable(const absl::Status& status) const;

  GroupId group() const { return group_; }
  const GroupMeta& meta() const { return meta_; }
  const storage::Engine& engine() const { return *engine_; }
  storage::MvccReader reader() const { return storage::MvccReader(engine_, group_); }
  const storage::RowCache& row_cache() const { return row_cache_; }
  // What the shards take and are asked, since this replica leads.
  const ShardLoad& load() const { return load_; }
  void NoteRead(const ShardDescriptor& shard, std::string_view key) {
    if (leads_) load_.NoteRead(shard.id, key);
  }
  // A key at which the shard parts into halves of about the same size; empty: there is none.
  absl::StatusOr<std::string> MiddleOf(const ShardDescriptor& shard) const;
  void ResizeRowCache(size_t bytes) { row_cache_.Resize(bytes); }
  // Dead keys that the sweep removed since the start.
  uint64_t swept() const { return swept_; }
  bool leads() const { return leads_; }
  // Leads and has applied an entry of its term.
  bool ready() const { return leads_ && meta_.applied.term == term_; }

  // raft::StateMachine
  ReplicaId replica() const override { return meta_.replica; }
  raft::SnapshotMeta applied() const override { return meta_.applied; }
  Index DurableIndex() override;
  void OnStart(const raft::Configuration& configuration) override {
    meta_.applied.configuration = configuration;
  }
  absl::Status Wipe(ReplicaId replica) override;
  bool CanApply() override { return !engine_->WouldStall(); }
  absl::Status Apply(absl::Span<const raft::ApplyItem> items) override;
  absl::StatusOr<std::unique_ptr<raft::SnapshotReader>> TakeSnapshot() override;
  absl::StatusOr<std::unique_ptr<raft::SnapshotStage>> StageSnapshot() override;
  absl::Status InstallSnapshot(std::unique_ptr<raft::SnapshotStage> stage,
                               const raft::SnapshotMeta& meta, ReplicaId replica) override;
  void OnRoleChange(bool leads, Term term) override;

  // Called when nothing more can be applied and nobody can help: the state can't be written, or is
  // damaged and nobody else has it. The default ends the process.
  std::function<void(const absl::Status&)> on_fatal;
  // Before a state with values that match no checksum is taken in from another replica: what this
  // one had may have them right. If it fails, the state is not taken in.
  std::function<absl::Status()> on_damaged_snapshot;
  // A step has changed the group's shards. Called while it is applied.
  std::function<void()> on_shards_changed;
  // Told of every applied command: for checkers and metrics.
  std::function<void(const raft::Entry&, const CommandResult&)> on_applied;

 private:
  class CommandProposal;
  struct Waiting {
    Command command;
    CommandCallback callback;
  };

  DataGroup(storage::Engine* engine, GroupId group, const DataGroupOptions& options,
            GroupMeta meta);

  absl::Status ApplyOne(const raft::ApplyItem& item, std::unique_ptr<storage::WriteBatch>& batch);
  absl::Status WriteBatch(std::unique_ptr<storage::WriteBatch>& batch);
  absl::Status ApplyAll(absl::Span<const raft::ApplyItem> items);
  bool Reads(const Command& command) const;
  void ApplyConfiguration(const raft::Entry& entry, storage::WriteBatch& batch);
  absl::StatusOr<CommandResult> Execute(const Command& command, Timestamp timestamp,
                                        storage::WriteBatch& batch);
  void ExecuteClock(storage::WriteBatch& batch);
  void RaiseSafePoint(Timestamp to, Timestamp now, storage::WriteBatch& batch);
  void ExecuteMachine(const Command& command, Timestamp timestamp, CommandResult* result,
                      storage::WriteBatch& batch);
  absl::Status LoadMachine();
  absl::Status ExecuteShard(const ShardStep& step, Timestamp timestamp, CommandResult* result,
                            storage::WriteBatch& batch);
  absl::Status CheckRows(const ShardStep& step) const;
  void TakeRows(const ShardStep& step, storage::WriteBatch& batch);
  void NoteExport(ShardId id);
  void NoteExports();
  void BeginVerification(uint64_t id, Timestamp timestamp);
  uint64_t PhysicalMillis();
  Timestamp AheadMax(uint64_t physical_millis) const;
  void ProposeNow(Command command, CommandCallback callback);
  absl::Status CheckDisk(const Command& command, size_t bytes) const;
  void YieldIfLow();
  void AwaitDuty();
  void Duty();
  void Sweep();
  void Measure();
  absl::StatusOr<CommandResult> Write(const Command& command, Timestamp timestamp,
                                      storage::WriteBatch& batch);
  Timestamp NextExpiry();
  Timestamp FirstExpiry();
  void PrepareSnapshotRead(Timestamp at, raft::ReadMode mode, ReadPointCallback callback);
  ReadPoint PointFor(Timestamp at, const raft::ReadTicket& ticket) const;
  void Fatal(const absl::Status& status);
  // The state could not be read beside applying. Damage is reported, anything else is fatal.
  void Unread(const absl::Status& status);
  // Whether others can help. Damage may be met before Attach: then nobody can.
  bool Report(const absl::Status& damage) const;
  bool damaged() const { return rebuilder_ != nullptr && !rebuilder_->damage().empty(); }
  // Nothing more can be applied; gives `status` on.
  absl::Status Halt(const absl::Status& status);

  storage::Engine* const engine_;
  const GroupId group_;
  const DataGroupOptions options_;
  GroupMeta meta_;
  WriterTable writers_;
  // Each row is its key's newest version in the engine and the batch that is being filled, outcomes
  // aside; or it is dead at the safe point, where a compaction or the sweep may remove it.
  storage::RowCache row_cache_;
  RecentWrites recent_;
  ShardLoad load_;
  MonotonicTime next_roll_ = kLongAgo;
  Timestamp next_expiry_;
  Index next_expiry_at_;  // applied index that it was looked up at; 0: not yet
  std::string measured_;  // the shards up to this start key, this time round
  storage::Sweeper sweeper_;
  GroupClock clock_;
  Loop* loop_ = nullptr;
  raft::Host* host_ = nullptr;
  Verifier* verifier_ = nullptr;
  Rebuilder* rebuilder_ = nullptr;
  const storage::DiskGuard* disk_ = nullptr;

  bool halted_ = false;     // what is in memory is ahead of the damaged state: nothing is served
  bool unwritten_ = false;  // entries were applied into a batch that is not written yet
  bool leads_ = false;
  Term term_;
  Timestamp last_assigned_;
  std::vector<Waiting> waiting_;
  size_t waiting_bytes_ = 0;
  bool duty_proposed_ = false;
  uint64_t swept_ = 0;
  std::unique_ptr<Timer> duty_timer_;
  Index duty_index_;         // as it was applied when the timer was set
  bool duty_rests_ = false;  // the timer is set for longer than usual
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace kvd::shard
