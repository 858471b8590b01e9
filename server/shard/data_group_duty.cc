// What a data group does by itself, ten times a second.
#include "proto/fault_point.h"
#include "server/shard/data_group.h"

namespace kvd::shard {

Timestamp DataGroup::NextExpiry() {
  // It changes only with the state.
  if (next_expiry_at_ == meta_.applied.index && meta_.applied.index) return next_expiry_;
  next_expiry_ = FirstExpiry();
  next_expiry_at_ = damaged() ? Index() : meta_.applied.index;
  return next_expiry_;
}

Timestamp DataGroup::FirstExpiry() {
  storage::IterateOptions options;
  options.lower = ExpiryKey(group_, Timestamp());
  options.upper = ExpiryKey(group_, kTimestampMax);
  auto it = engine_->NewIterator(options);
  it->Seek(options.lower);
  if (it->Valid()) return ExpiryOf(it->key());
  if (!it->status().ok()) Unread(it->status());
  return Timestamp();
}

void DataGroup::Sweep() {
  KVD_FAULT_POINT(kSweeps);
  if (engine_->WouldStall()) return;
  auto bytes = engine_->GetPersisted(SafePointKey(group_));
  auto safe_point = bytes.ok() ? DecodeSafePoint(*bytes) : bytes.status();
  if (!safe_point.ok()) return Unread(safe_point.status());
  auto removed = sweeper_.Step(*safe_point, options_.sweep_keys_max);
  if (!removed.ok()) return Unread(removed.status());
  swept_ += *removed;
}

// A leader without room for data hands over to a replica that has some, if most have.
void DataGroup::YieldIfLow() {
  if (disk_->state() == DiskState::kOk || !host_->HasRoom(group_)) return;
  ReplicaId target = host_->CaughtUpVoterWithRoom(group_);
  if (target) (void)host_->TransferLeadership(group_, target);
}

// Some of the shards each time.
void DataGroup::Measure() {
  constexpr int kLookedAtMax = 500;
  constexpr int kMeasuredMax = 8;
  MonotonicTime now = loop_->Now();
  if (now >= next_roll_) {
    next_roll_ = now + std::chrono::seconds(1);
    load_.Roll(now);
  }
  const ShardTable::Map& shards = meta_.shards.shards();
  auto it = measured_.empty() ? shards.begin() : shards.upper_bound(measured_);
  int measured = 0;
  for (int i = 0; i < kLookedAtMax && measured < kMeasuredMax && it != shards.end(); ++i, ++it) {
    measured_ = it->first;
    const ShardDescriptor& shard = it->second;
    if (shard.state != ShardState::kServing || !load_.NeedsMeasuring(shard.id, now)) continue;
    auto [begin, end] = storage::VersionBounds(group_, shard.range);
    load_.NoteBytes(shard.id, engine_->ApproximateBytes(begin, end), now);
    ++measured;
  }
  if (it == shards.end()) measured_.clear();
}

void DataGroup::AwaitDuty() {
  // Nothing has changed, and nothing falls due before long.
  duty_rests_ = halted_ || (duty_index_ == meta_.applied.index && sweeper_.resting() &&
                            (!ready() || !NextExpiry()));
  duty_index_ = meta_.applied.index;
  Duration interval = duty_rests_ ? 4 * options_.duty_interval : options_.duty_interval;
  duty_timer_ = loop_->After(UntilNext(loop_->Now(), interval), [this] { Duty(); });
}

// What every replica does without being asked: drops what is dead. And a leader: lets time pass in
// an idle group when an expiry falls due, and gives up old history.
void DataGroup::Duty() {
  AwaitDuty();
  if (halted_) return;
  // Where nobody can help, a damaged replica goes on without.
  if (!sweeper_.resting() && !damaged()) Sweep();
  if (!ready()) return;
  Measure();
  YieldIfLow();
  if (duty_proposed_) return;
  Timestamp now = TimestampFromMillis(PhysicalMillis());
  Command command;
  Timestamp expiry = NextExpiry();
  auto retention =
      static_cast<uint64_t>(std::chrono::duration_cast<milliseconds>(options_.retention).count());
  uint64_t step = std::max<uint64_t>(retention / 10, 100);
  if (expiry && expiry < now) {
    command.kind = CommandKind::kClockAdvance;
  } else if (MillisOf(now) > retention + step &&
             TimestampFromMillis(MillisOf(now) - retention - step) > meta_.safe_point &&
             (disk_->state() != DiskState::kOk ||
              meta_.clock > meta_.safe_point + (step << kTimestampCounterBits))) {
    // An idle group has nothing to forget: its clock stands still, and so does the safe point.
    // Unless room is short: then even its last deletes must be forgotten.
    command.kind = CommandKind::kSafePoint;
    command.safe_point =
        std::min({TimestampFromMillis(MillisOf(now) - retention), meta_.clock, meta_.shards.pin()});
    if (command.safe_point <= meta_.safe_point) return;
  } else {
    return;
  }
  duty_proposed_ = true;
  KVD_FAULT_POINT(kDutyProposed);
  ProposeNow(std::move(command), [this, alive = std::weak_ptr<bool>(alive_)](const auto&) {
    if (!alive.expired()) duty_proposed_ = false;
  });
}

}  // namespace kvd::shard
