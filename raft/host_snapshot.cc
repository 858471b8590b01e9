// The host's snapshots: sending them to followers that need compacted entries, receiving,
// installing. Installing replaces the state first, then the log (design: two instances, no
// atomicity between them): a crash in between is mended at the next start.
#include "proto/check.h"
#include "proto/crc32c.h"
#include "proto/fault_point.h"
#include "raft/host_group.h"

namespace kvd::raft {

void Host::StartSnapshot(Group& group, ReplicaId to) {
  if (group.senders.contains(to)) return;
  auto reader = group.state_machine->TakeSnapshot();
  if (!reader.ok()) {
    group.core->OnSnapshotSent(loop_->Now(), to, false, Index());
    return;
  }
  KVD_FAULT_POINT(kSnapshotBegins);
  SnapshotChunk header;
  header.group = group.id;
  header.from = group.core->id();
  header.to = to;
  if (group.core->IsLeader()) header.term = group.core->term();
  header.snapshot_id = loop_->random().Next();
  header.meta = (*reader)->meta();
  Index index = header.meta.index;
  auto done = [this, id = group.id, to, index](bool installed) {
    Group* group = Find(id);
    auto sender = std::move(group->senders.at(to));  // it is calling: outlives this function
    group->senders.erase(to);
    KVD_FAULT_POINT(kSnapshotSent);
    if (installed) ++counters_.snapshots_sent;
    group->core->OnSnapshotSent(loop_->Now(), to, installed, index);
    Schedule(*group);
    loop_->Post([sender = std::move(sender)] {});
  };
  group.senders[to] = std::make_unique<SnapshotSender>(
      loop_, transport_, options_.snapshot, group.core->configuration().StoreOf(to),
      std::move(header), *std::move(reader), std::move(done));
}

void Host::OnAck(SnapshotAck ack) {
  Group* group = Find(ack.group);
  if (group == nullptr) return;
  auto it = group->senders.find(ack.from);
  if (it != group->senders.end()) it->second->OnAck(ack);
}

void Host::Acknowledge(StoreId to, const SnapshotChunk& chunk, uint64_t next, bool reject,
                       bool installed) {
  SnapshotAck ack;
  ack.group = chunk.group;
  ack.from = chunk.to;
  ack.to = chunk.from;
  ack.snapshot_id = chunk.snapshot_id;
  ack.next_sequence = next;
  ack.reject = reject;
  ack.installed = installed;
  transport_->SendAck(to, ack);
}

void Host::OnChunk(StoreId from, SnapshotChunk chunk) {
  KVD_FAULT_POINT(kChunkArrives);
  Group* group = Find(chunk.group);
  if (group == nullptr || group->core->id() != chunk.to || group->installing ||
      group->tombstone_written || disk_ != DiskState::kOk) {
    return;
  }
  NoteTakenIn(chunk.data.size());
  if (!group->core->CanUseSnapshot(chunk.meta, chunk.term)) {
    group->receiving = {};
    bool held = group->core->Holds(chunk.meta);
    return Acknowledge(from, chunk, 0, /*reject=*/!held, /*installed=*/held);
  }
  auto& receiving = group->receiving;
  // With nothing under way the id says nothing: 0 is one that a peer may send.
  if (receiving.stage == nullptr || receiving.snapshot_id != chunk.snapshot_id) {
    // One after the other: two that take turns would both begin anew for ever.
    bool moves = receiving.stage != nullptr && receiving.from != chunk.from &&
                 receiving.term >= chunk.term &&
                 loop_->Now() - receiving.progress_at < options_.snapshot.give_up_after;
    if (moves) return Acknowledge(from, chunk, 0, /*reject=*/true, /*installed=*/false);
    auto stage = group->state_machine->StageSnapshot();
    if (!stage.ok()) return Acknowledge(from, chunk, 0, /*reject=*/true, /*installed=*/false);
    receiving = {chunk.snapshot_id, 0, *std::move(stage), chunk.from, chunk.term, loop_->Now()};
  }
  // Damaged, early or repeated chunks change nothing: the answer says what is wanted.
  if (chunk.sequence == receiving.next && Crc32c(chunk.data) == chunk.crc32c) {
    if (!receiving.stage->Add(chunk.data).ok()) {
      receiving = {};
      return Acknowledge(from, chunk, 0, /*reject=*/true, /*installed=*/false);
    }
    ++receiving.next;
    receiving.progress_at = loop_->Now();
    KVD_FAULT_POINT(kChunkStaged);
    if (chunk.last) return Install(*group, from, chunk);
  }
  Acknowledge(from, chunk, receiving.next, false, false);
}

void Host::Install(Group& group, StoreId from, const SnapshotChunk& last) {
  auto stage = std::move(group.receiving.stage);
  group.receiving = {};
  if (!group.core->WantsSnapshot(last.meta, last.term)) {
    Schedule(group);
    bool held = group.core->Holds(last.meta);
    return Acknowledge(from, last, 0, /*reject=*/!held, /*installed=*/held);
  }
  KVD_FAULT_POINT(kBeforeInstall);
  bool keeps_log = group.core->KeepsLog(last.meta);
  absl::Status installed =
      group.state_machine->InstallSnapshot(std::move(stage), last.meta, group.core->id());
  if (!installed.ok()) return Acknowledge(from, last, 0, /*reject=*/true, /*installed=*/false);
  KVD_FAULT_POINT(kStateInstalled);
  if (keeps_log) {
    group.core->Restore(loop_->Now(), last.meta, last.term, last.from);
    group.log_size.CutTo(last.meta.index);
    ++counters_.snapshots_installed;
    LogWrite write;
    write.group = group.id;
    write.truncate = last.meta;
    std::vector<LogWrite> writes;
    writes.push_back(std::move(write));
    SubmitWrite(std::move(writes), {});
    Schedule(group);
    return Acknowledge(from, last, 0, /*reject=*/false, /*installed=*/true);
  }
  group.installing = true;
  LogWrite write;
  write.group = group.id;
  write.replica = group.core->id();
  write.reset = last.meta;
  Term term = std::max({last.term, last.meta.term, group.core->term()});
  write.hard_state = HardState{term, ReplicaId(), last.meta.index};
  if (term == group.core->term()) write.hard_state->vote = group.core->vote();
  InFlightWrite flight;
  SnapshotChunk chunk = last;
  chunk.data.clear();
  flight.then.push_back([this, id = group.id, from, chunk] {
    Group* known = Find(id);
    if (known == nullptr) return;  // removed since
    Group& group = *known;
    KVD_FAULT_POINT(kLogReset);
    group.installing = false;
    group.core->Restore(loop_->Now(), chunk.meta, chunk.term, chunk.from);
    group.log_size.Begin(chunk.meta.index);
    ++counters_.snapshots_installed;
    KVD_FAULT_POINT(kInstalled);
    Acknowledge(from, chunk, 0, /*reject=*/false, /*installed=*/true);
    Schedule(group);
  });
  std::vector<LogWrite> writes;
  writes.push_back(std::move(write));
  SubmitWrite(std::move(writes), std::move(flight));
}

}  // namespace kvd::raft
