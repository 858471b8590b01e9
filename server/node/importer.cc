#include "server/node/importer.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "proto/crc32c.h"
#include "proto/error.h"
#include "proto/fault_point.h"

namespace kvd::node {

Importer::~Importer() {
  std::map<Key, Import> imports;
  imports.swap(imports_);
  for (auto& [key, import] : imports) {
    for (Waiter& w : import.waiters) w.done(absl::UnavailableError("the store is stopping"));
  }
}

void Importer::Forget(GroupId group) {
  std::vector<Key> keys;
  for (const auto& [key, import] : imports_) {
    if (key.first == group) keys.push_back(key);
  }
  for (const Key& key : keys) Fail(key, absl::UnavailableError("the replica is being removed"));
}

void Importer::Fail(const Key& key, const absl::Status& status) {
  auto node = imports_.extract(key);
  if (node.empty()) return;
  for (Waiter& w : node.mapped().waiters) w.done(status);
}

void Importer::Pull(shard::DataGroup* group, ShardId shard, OperationId operation, Timestamp at,
                    Done done) {
  Key key(group->group(), shard);
  auto known = imports_.find(key);
  if (known != imports_.end() && known->second.operation != operation) {
    Fail(key, absl::AbortedError("another operation imports the shard"));
  }
  Import& import = imports_[key];
  import.group = group;
  import.operation = operation;
  import.waiters.push_back({at, std::move(done), import.bytes});
  if (!import.busy && import.pause == nullptr) Step(key);
}

bool Importer::Answer(const Key& key, const shard::ShardDescriptor& shard) {
  Import& import = imports_.at(key);
  std::vector<std::pair<Done, Pulled>> ready;
  std::erase_if(import.waiters, [&](Waiter& w) {
    bool has = w.at ? shard.copied >= w.at : w.round;
    if (has)
      ready.emplace_back(std::move(w.done), Pulled{shard.copied, import.bytes - w.bytes_before});
    return has;
  });
  if (!ready.empty()) KVD_FAULT_POINT(kRoundOver);
  bool waits = !import.waiters.empty();
  if (!waits) imports_.erase(key);
  for (auto& [done, pulled] : ready) done(pulled);
  return waits && imports_.contains(key);
}

void Importer::Step(const Key& key) {
  Import& import = imports_.at(key);
  shard::DataGroup& group = *import.group;
  if (!group.ready())
    return Fail(key, NotLeaderError(key.first, host_->LeaderStore(key.first), ""));
  const shard::ShardTable& table = group.meta().shards;
  auto finished = table.finished().find(key.second);
  const shard::ShardDescriptor* shard = table.Find(key.second);
  if (finished != table.finished().end() && finished->second.operation == import.operation &&
      finished->second.outcome == StepOutcome::kDone && shard != nullptr) {
    // It is served here already: nothing is left to fetch.
    shard::ShardDescriptor complete = *shard;
    complete.copied = kTimestampMax;
    for (Waiter& w : import.waiters) w.round = true;
    (void)Answer(key, complete);
    return;
  }
  if (shard == nullptr || shard->state != ShardState::kImporting ||
      shard->operation != import.operation) {
    return Fail(key, absl::FailedPreconditionError(
                         absl::StrCat("operation ", import.operation.value(),
                                      " does not import shard ", key.second.value(), " here")));
  }
  // Between rounds.
  if (!shard->copying && !Answer(key, *shard)) return;
  Fetch(key, *shard);
}

void Importer::Fetch(const Key& key, const shard::ShardDescriptor& shard) {
  Import& import = imports_.at(key);
  import.busy = true;
  wire::StoreRequest request;
  auto* fetch = request.mutable_fetch();
  fetch->set_group_id(shard.peer.value());
  fetch->set_shard_id(shard.id.value());
  fetch->set_operation_id(import.operation.value());
  fetch->set_after(shard.copied.value());
  Timestamp upto = shard.copying;
  if (!shard.copying) {
    // The furthest that somebody waits for; as far as can be, if anybody does for that.
    for (Waiter& w : import.waiters) {
      w.round = true;
      upto = std::max(upto, w.at);
    }
    if (std::any_of(import.waiters.begin(), import.waiters.end(),
                    [](const Waiter& w) { return !w.at; })) {
      upto = Timestamp();
    }
  }
  fetch->set_upto(upto.value());
  fetch->set_key(shard.next_key);
  fetch->set_key_after(shard.next_after.value());
  fetch->set_bytes_max(static_cast<uint32_t>(options_.chunk_bytes));
  caller_->ToLeader(shard.peer, std::move(request), options_.call_timeout,
                    [this, alive = std::weak_ptr<bool>(alive_), key, operation = import.operation,
                     after = shard.copied, from = shard.next_key](auto answer) {
                      if (alive.expired()) return;
                      auto it = imports_.find(key);
                      if (it == imports_.end() || it->second.operation != operation) return;
                      OnRows(key, after, from, std::move(answer));
                    });
}

// For so long nothing more is fetched: what came is paid for at the rate that is allowed.
Duration Importer::PauseFor(uint64_t bytes) {
  uint64_t rate = rate_;
  if (options_.bytes_per_second != 0) rate = std::min(rate, options_.bytes_per_second);
  auto cost =
      Duration(static_cast<int64_t>(1e9 * static_cast<double>(bytes) / static_cast<double>(rate)));
  paid_until_ = std::max(paid_until_, loop_->Now()) + cost;
  return paid_until_ - loop_->Now();
}

void Importer::OnRows(const Key& key, Timestamp after, const std::string& from,
                      absl::StatusOr<wire::StoreResponse> answer) {
  Import& import = imports_.at(key);
  if (!answer.ok()) return Fail(key, answer.status());
  wire::FetchResponse& rows = *answer->mutable_fetch();
  if (Crc32c(rows.rows()) != rows.crc32c()) {
    return Fail(key, absl::DataLossError("rows of a shard that moves were damaged on their way"));
  }
  const shard::ShardDescriptor* shard = import.group->meta().shards.Find(key.second);
  if (shard == nullptr) return Fail(key, absl::AbortedError("the import was given up"));
  shard::Command command;
  command.kind = shard::CommandKind::kShard;
  ShardStep& step = command.step;
  step.kind = StepKind::kImport;
  step.operation = import.operation;
  step.shard = key.second;
  step.epoch = shard->epoch;
  step.after = after;
  step.at = Timestamp(rows.upto());
  step.key = from;
  step.key_after = Timestamp(rows.key_after());
  step.next_key = rows.next_key();
  step.next_after = Timestamp(rows.next_after());
  step.rows = std::move(*rows.mutable_rows());
  KVD_FAULT_POINT(kRowsArrive);
  uint64_t bytes = step.rows.size();
  Duration pause = PauseFor(bytes);
  import.group->Submit(std::move(command),
                       [this, alive = std::weak_ptr<bool>(alive_), key,
                        operation = import.operation, bytes, pause](const auto& result) {
                         if (!alive.expired()) OnApplied(key, operation, bytes, pause, result.status());
});
}  // namespace kvd::node

void Importer::OnApplied(const Key& key, OperationId operation, uint64_t bytes, Duration pause,
                         const absl::Status& status) {
  auto it = imports_.find(key);
  if (it == imports_.end() || it->second.operation != operation) return;
  it->second.busy = false;
  if (!status.ok()) return Fail(key, status);
  KVD_FAULT_POINT(kRowsApplied);
  it->second.bytes += bytes;
  bytes_ += bytes;
  if (pause <= Duration::zero()) return Step(key);
  it->second.pause = loop_->After(pause, [this, key] { AfterPause(key); });
}

void Importer::AfterPause(const Key& key) {
  auto it = imports_.find(key);
  if (it == imports_.end()) return;
  // It outlives the call that it makes.
  loop_->Post([timer = std::shared_ptr<Timer>(std::move(it->second.pause))] {});
  Step(key);
}

}  // namespace kvd::node
