// A group's state on its way to another replica: every pair of the group in engine order, cut into
// chunks. The pairs carry the applied position, so that installing them is one step.
#include <utility>

#include "proto/check.h"
#include "proto/codec.h"
#include "server/shard/data_group.h"

namespace kvd::shard {
namespace {

class GroupSnapshotReader : public raft::SnapshotReader {
 public:
  // `group` outlives it.
  GroupSnapshotReader(std::unique_ptr<storage::View> view, const DataGroup* group,
                      raft::SnapshotMeta meta, size_t chunk_bytes)
      : view_(std::move(view)),
        group_(group),
        bounds_(storage::GroupBounds(group->group())),
        meta_(std::move(meta)),
        chunk_bytes_(chunk_bytes),
        starts_{bounds_.first} {
    storage::IterateOptions options;
    options.lower = bounds_.first;
    options.upper = bounds_.second;
    options.fill_cache = false;
    iterator_ = view_->NewIterator(options);
    iterator_->Seek(bounds_.first);
  }

  raft::SnapshotMeta meta() const override { return meta_; }

  absl::StatusOr<Chunk> Read(uint64_t sequence) override {
    if (sequence >= starts_.size()) return absl::OutOfRangeError("no such chunk");
    if (sequence != next_) iterator_->Seek(starts_[sequence]);
    Chunk chunk;
    Writer w(&chunk.data);
    while (iterator_->Valid() && chunk.data.size() < chunk_bytes_) {
      absl::Status whole = Check();
      if (!whole.ok()) return whole;
      w.Bytes(iterator_->key());
      w.Bytes(iterator_->value());
      iterator_->Next();
    }
    if (!iterator_->status().ok()) return group_->Unreadable(iterator_->status());
    chunk.last = !iterator_->Valid();
    next_ = sequence + 1;
    if (!chunk.last && next_ == starts_.size()) starts_.emplace_back(iterator_->key());
    return chunk;
  }

 private:
  // What does not match its checksum is not spread while another replica may have it right. Where
  // none can take over, what there is goes on as it is: whoever reads it is told.
  absl::Status Check() const {
    if (!storage::IsVersionKey(iterator_->key())) return absl::OkStatus();
    absl::Status whole = storage::CheckVersion(iterator_->key(), iterator_->value());
    if (whole.ok()) return whole;
    absl::Status told = group_->Unreadable(whole);
    return absl::IsDataLoss(told) ? absl::OkStatus() : told;
  }

  const std::unique_ptr<storage::View> view_;
  const DataGroup* const group_;
  const std::pair<std::string, std::string> bounds_;
  const raft::SnapshotMeta meta_;
  const size_t chunk_bytes_;
  // First key of each chunk read so far, and of the next.
  std::vector<std::string> starts_;
  // The only one, since it holds the files it reads: compaction drops old versions even from views,
  // and a chunk read again must be cut as it was.
  std::unique_ptr<storage::Iterator> iterator_;
  uint64_t next_ = 0;
};

class GroupSnapshotStage : public raft::SnapshotStage {
 public:
  GroupSnapshotStage(std::unique_ptr<storage::Staging> pairs, GroupId group, ReplicaId replica)
      : pairs_(std::move(pairs)),
        bounds_(storage::GroupBounds(group)),
        applied_key_(AppliedKey(group)),
        meta_prefix_(storage::SpacePrefix(group, storage::Space::kMeta)),
        versions_prefix_(storage::SpacePrefix(group, storage::Space::kVersions)),
        replica_(replica) {}

  absl::Status Add(std::string_view chunk) override {
    Reader r(chunk);
    while (!r.rest().empty()) {
      std::string_view key = r.Bytes();
      std::string_view value = r.Bytes();
      if (!r.ok() || key < bounds_.first || key >= bounds_.second) {
        return absl::DataLossError("a snapshot chunk is malformed");
      }
      absl::Status valid = Check(key, value);
      if (!valid.ok()) return valid;
      absl::Status put = key == applied_key_ ? PutApplied(key) : pairs_->Put(key, value);
      if (!put.ok()) return put;
    }
    return absl::OkStatus();
  }

  bool complete() const { return complete_; }
  // Whether all values match their checksums; what does not came as its sender had it, since nobody
  // else had it whole.
  bool whole() const { return whole_; }
  // What the records say. Requires: complete().
  const GroupMeta& meta() const { return meta_; }
  std::unique_ptr<storage::Staging> TakePairs() { return std::move(pairs_); }

 private:
  // Nothing that could not be read again replaces the state.
  absl::Status Check(std::string_view key, std::string_view value) {
    if (key.substr(0, meta_prefix_.size()) == meta_prefix_) {
      return meta_.Take(key.substr(meta_prefix_.size()), value);
    }
    bool version = key.substr(0, versions_prefix_.size()) == versions_prefix_;
    if (version && (!storage::UserKeyOf(key) || !storage::DecodeVersion(value))) {
      return absl::DataLossError("a version in a snapshot is malformed");
    }
    whole_ = whole_ && (!version || storage::CheckVersion(key, value).ok());
    return absl::OkStatus();
  }

  // The sender's replica id becomes the receiver's: that is how a crash between this step and the
  // log's reset is told from another replica's leftovers.
  absl::Status PutApplied(std::string_view key) {
    meta_.replica = replica_;
    complete_ = true;
    return pairs_->Put(key, meta_.EncodeApplied());
  }

  std::unique_ptr<storage::Staging> pairs_;
  const std::pair<std::string, std::string> bounds_;
  const std::string applied_key_;
  const std::string meta_prefix_;
  const std::string versions_prefix_;
  const ReplicaId replica_;
  GroupMeta meta_;
  bool complete_ = false;
  bool whole_ = true;
};

}  // namespace

absl::StatusOr<std::unique_ptr<raft::SnapshotReader>> DataGroup::TakeSnapshot() {
  if (halted_) return absl::UnavailableError("the state is damaged");
  return std::make_unique<GroupSnapshotReader>(engine_->Snapshot(), this, meta_.applied,
                                               options_.snapshot_chunk_bytes);
}

absl::StatusOr<std::unique_ptr<raft::SnapshotStage>> DataGroup::StageSnapshot() {
  // It goes into an engine that is whole, or not at all.
  if (damaged()) return absl::UnavailableError("the state is damaged");
  auto [begin, end] = storage::GroupBounds(group_);
  auto pairs = engine_->NewStaging(begin, end);
  if (!pairs.ok()) return pairs.status();
  return std::make_unique<GroupSnapshotStage>(*std::move(pairs), group_, meta_.replica);
}

absl::Status DataGroup::InstallSnapshot(std::unique_ptr<raft::SnapshotStage> stage,
                                        const raft::SnapshotMeta& meta, ReplicaId replica) {
  auto& staged = static_cast<GroupSnapshotStage&>(*stage);
  if (!staged.complete()) return absl::DataLossError("the snapshot lacks its position");
  const raft::SnapshotMeta& position = staged.meta().applied;
  // A state that has applied no configuration has no record of one: the log began with it.
  bool same_members =
      position.configuration.voters.empty() || position.configuration == meta.configuration;
  if (position.index != meta.index || position.term != meta.term || !same_members) {
    return absl::DataLossError("the snapshot's content is of another position than announced");
  }
  if (!staged.whole() && on_damaged_snapshot) {
    absl::Status kept = on_damaged_snapshot();
    if (!kept.ok()) return kept;
  }
  row_cache_.Clear();
  absl::Status ingested = engine_->Ingest(staged.TakePairs());
  if (!ingested.ok()) {
    // The old state may be gone: then nothing more is applied to what it was, and the next start
    // fetches another.
    auto position = engine_->Get(AppliedKey(group_));
    if (!position.ok() || !position->has_value()) return Halt(ingested);
    if (absl::IsDataLoss(ingested)) (void)Report(ingested);
    return ingested;
  }
  auto loaded = GroupMeta::Load(*engine_, group_);
  if (!loaded.ok()) return Halt(loaded.status());
  KVD_CHECK(loaded->applied.index == meta.index && loaded->replica == replica);
  meta_ = *std::move(loaded);
  meta_.applied.configuration = meta.configuration;
  writers_.Restart(meta_.clock);
  NoteExports();
  sweeper_ = storage::Sweeper(engine_, group_, meta_.clock);
  absl::Status machine = LoadMachine();
  return machine.ok() ? machine : Halt(machine);
}

}  // namespace kvd::shard
