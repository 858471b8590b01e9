#include "raft/wire.h"

#include "proto/codec.h"
#include "proto/crc32c.h"
#include "proto/timestamp.h"

namespace kvd::raft {
namespace {

uint64_t Nanos(MonotonicTime t) {
  return t == kLongAgo ? 0 : static_cast<uint64_t>(t.time_since_epoch().count());
}

MonotonicTime FromNanos(uint64_t nanos) {
  return nanos == 0 ? kLongAgo : MonotonicTime(Duration(static_cast<int64_t>(nanos)));
}

// Far beyond what is ever reached, and far enough below the limit to count on from: terms, log
// positions, nanoseconds since a machine's start.
constexpr uint64_t kNumberMax = uint64_t{1} << 61;
// Milliseconds since the Unix epoch that a timestamp can carry.
constexpr uint64_t kWallMillisMax = uint64_t{1} << (63 - kTimestampCounterBits);

template <class... Numbers>
bool InRange(Numbers... numbers) {
  return ((numbers <= kNumberMax) && ...);
}

bool NumbersInRange(const internal::v1::Message& in) {
  return InRange(in.term(), in.index(), in.log_term(), in.commit(), in.hint_index(), in.hint_term(),
                 in.round(), in.sent_at_ns(), in.echo_ns(), in.closed_index()) &&
         in.wall_ms() <= kWallMillisMax;
}

bool NamesTwoReplicas(uint64_t group, uint64_t from, uint64_t to) {
  return group != 0 && group <= kGroupIdMax && from != 0 && to != 0 && from != to;
}

// What a group decides by: at least one voter.
bool DecodeConfiguration(std::string_view bytes, Configuration* configuration) {
  return Configuration::Decode(bytes, configuration) && !configuration->voters.empty();
}

bool TakeEntries(internal::v1::Message* in, Message* m) {
  Term previous = m->log_term;
  for (internal::v1::Entry& e : *in->mutable_entries()) {
    auto entry = std::make_shared<Entry>();
    entry->term = Term(e.term());
    entry->index = Index(e.index());
    entry->type = static_cast<EntryType>(e.type());
    entry->data = std::move(*e.mutable_data());
    if (e.type() > static_cast<uint32_t>(EntryType::kConfiguration)) return false;
    if (entry->index != m->index + m->entries.size() + 1) return false;
    // Terms only rise along a log, up to the leader's own.
    if (entry->term < previous || !entry->term || entry->term > m->term) return false;
    previous = entry->term;
    Configuration configuration;
    if (entry->type == EntryType::kConfiguration &&
        !DecodeConfiguration(entry->data, &configuration)) {
      return false;
    }
    m->entries.push_back(std::move(entry));
  }
  return true;
}

// All but the entries' data.
void WriteNumbers(Writer& w, const internal::v1::Message& m) {
  for (uint64_t number : {m.group_id(),
                          uint64_t{m.type()},
                          m.from(),
                          m.to(),
                          m.term(),
                          m.index(),
                          m.log_term(),
                          m.commit(),
                          uint64_t{m.reject()},
                          m.hint_index(),
                          m.hint_term(),
                          m.round(),
                          m.sent_at_ns(),
                          m.wall_ms(),
                          m.echo_ns(),
                          m.follower_life(),
                          m.closed_index(),
                          uint64_t{m.transfer()},
                          m.from_store(),
                          uint64_t{m.needs_state()},
                          uint64_t{m.repair()},
                          uint64_t{m.disk()},
                          uint64_t{m.state_damaged()},
                          m.leave()}) {
    w.Varint(number);
  }
  w.Varint(static_cast<uint64_t>(m.entries_size()));
  for (const auto& e : m.entries()) {
    w.Varint(e.term());
    w.Varint(e.index());
    w.Varint(e.type());
    w.Varint(e.data().size());
  }
}

void WriteHello(Writer& w, const internal::v1::Hello& hello) {
  w.Varint(hello.cluster_id());
  w.Varint(hello.store_id());
  w.Bytes(hello.address());
  w.Varint(hello.protocol());
}

}  // namespace

uint32_t Checksum(const internal::v1::MessageBatch& batch) {
  std::string numbers;
  Writer w(&numbers);
  uint32_t crc = 0;
  WriteHello(w, batch.hello());
  w.Varint(batch.received());
  w.Varint(batch.next_bytes());
  w.Varint(static_cast<uint64_t>(batch.messages_size()));
  for (const auto& m : batch.messages()) {
    WriteNumbers(w, m);
    for (const auto& e : m.entries()) crc = Crc32c(e.data(), crc);
  }
  for (const auto& ack : batch.snapshot_acks()) {
    for (uint64_t number :
         {ack.group_id(), ack.snapshot_id(), ack.from(), ack.to(), ack.next_sequence(),
          uint64_t{ack.reject()}, uint64_t{ack.installed()}}) {
      w.Varint(number);
    }
  }
  return Crc32c(numbers, crc);
}

uint32_t Checksum(const internal::v1::SnapshotChunk& chunk) {
  std::string numbers;
  Writer w(&numbers);
  WriteHello(w, chunk.hello());
  for (uint64_t number : {chunk.group_id(), chunk.from(), chunk.to(), chunk.term(),
                          chunk.snapshot_id(), chunk.index(), chunk.log_term(), chunk.sequence(),
                          uint64_t{chunk.crc32c()}, uint64_t{chunk.last()}}) {
    w.Varint(number);
  }
  w.Bytes(chunk.configuration());
  return Crc32c(numbers);
}

void ToWire(const GroupMessage& in, internal::v1::Message* out) {
  const Message& m = in.message;
  out->set_group_id(in.group.value());
  out->set_type(static_cast<uint32_t>(m.type));
  out->set_from(m.from.value());
  out->set_to(m.to.value());
  out->set_term(m.term.value());
  out->set_index(m.index.value());
  out->set_log_term(m.log_term.value());
  for (const EntryPtr& entry : m.entries) {
    auto* e = out->add_entries();
    e->set_term(entry->term.value());
    e->set_index(entry->index.value());
    e->set_type(static_cast<uint32_t>(entry->type));
    e->set_data(entry->data);
  }
  out->set_commit(m.commit.value());
  out->set_reject(m.reject);
  out->set_hint_index(m.hint_index.value());
  out->set_hint_term(m.hint_term.value());
  out->set_round(m.round);
  out->set_sent_at_ns(Nanos(m.sent_at));
  out->set_wall_ms(m.wall_ms);
  out->set_echo_ns(Nanos(m.follower_sent_at));
  out->set_follower_life(m.follower_life);
  out->set_closed_index(m.closed_index.value());
  out->set_needs_state(m.needs_state);
  out->set_state_damaged(m.state_damaged);
  out->set_leave(m.leave);
  out->set_transfer(m.transfer);
  out->set_from_store(m.from_store.value());
  out->set_repair(static_cast<uint32_t>(m.repair));
  out->set_disk(static_cast<uint32_t>(m.disk));
}

bool FromWire(internal::v1::Message* in, GroupMessage* out) {
  out->group = GroupId(in->group_id());
  Message& m = out->message;
  if (in->type() < static_cast<uint32_t>(MessageType::kAppend) ||
      in->type() > static_cast<uint32_t>(MessageType::kRepairReply) ||
      in->repair() > static_cast<uint32_t>(RepairAnswer::kCompacted)) {
    return false;
  }
  if (!NamesTwoReplicas(in->group_id(), in->from(), in->to()) || !NumbersInRange(*in)) return false;
  m.type = static_cast<MessageType>(in->type());
  m.from = ReplicaId(in->from());
  m.to = ReplicaId(in->to());
  m.term = Term(in->term());
  m.index = Index(in->index());
  m.log_term = Term(in->log_term());
  // A position's term is not above the term of who names it: of a leader, or of a candidate's log.
  // Who asks for a repair may have lost its own.
  if (m.log_term > m.term && m.type != MessageType::kRepair) return false;
  if (!TakeEntries(in, &m)) return false;
  m.commit = Index(in->commit());
  m.reject = in->reject();
  m.hint_index = Index(in->hint_index());
  m.hint_term = Term(in->hint_term());
  m.round = in->round();
  m.sent_at = FromNanos(in->sent_at_ns());
  m.wall_ms = in->wall_ms();
  m.follower_sent_at = FromNanos(in->echo_ns());
  m.follower_life = in->follower_life();
  m.closed_index = Index(in->closed_index());
  m.needs_state = in->needs_state();
  m.state_damaged = in->state_damaged();
  m.leave = in->leave();
  m.transfer = in->transfer();
  m.from_store = StoreId(in->from_store());
  m.repair = static_cast<RepairAnswer>(in->repair());
  if (in->disk() > static_cast<uint32_t>(DiskState::kCritical)) return false;
  m.disk = static_cast<DiskState>(in->disk());
  return static_cast<bool>(m.from_store);
}

void ToWire(SnapshotChunk in, internal::v1::SnapshotChunk* out) {
  out->set_group_id(in.group.value());
  out->set_from(in.from.value());
  out->set_to(in.to.value());
  out->set_term(in.term.value());
  out->set_snapshot_id(in.snapshot_id);
  out->set_index(in.meta.index.value());
  out->set_log_term(in.meta.term.value());
  out->set_configuration(in.meta.configuration.Encode());
  out->set_sequence(in.sequence);
  out->set_data(std::move(in.data));
  out->set_crc32c(in.crc32c);
  out->set_last(in.last);
}

bool FromWire(internal::v1::SnapshotChunk* in, SnapshotChunk* out) {
  out->group = GroupId(in->group_id());
  out->from = ReplicaId(in->from());
  out->to = ReplicaId(in->to());
  out->term = Term(in->term());
  out->snapshot_id = in->snapshot_id();
  out->meta.index = Index(in->index());
  out->meta.term = Term(in->log_term());
  out->sequence = in->sequence();
  out->data = std::move(*in->mutable_data());
  out->crc32c = in->crc32c();
  out->last = in->last();
  return NamesTwoReplicas(in->group_id(), in->from(), in->to()) &&
         InRange(in->term(), in->index()) && in->log_term() <= in->term() &&
         DecodeConfiguration(in->configuration(), &out->meta.configuration);
}

void ToWire(const SnapshotAck& in, internal::v1::SnapshotAck* out) {
  out->set_group_id(in.group.value());
  out->set_from(in.from.value());
  out->set_to(in.to.value());
  out->set_snapshot_id(in.snapshot_id);
  out->set_next_sequence(in.next_sequence);
  out->set_reject(in.reject);
  out->set_installed(in.installed);
}

SnapshotAck FromWire(const internal::v1::SnapshotAck& in) {
  SnapshotAck out;
  out.group = GroupId(in.group_id());
  out.from = ReplicaId(in.from());
  out.to = ReplicaId(in.to());
  out.snapshot_id = in.snapshot_id();
  out.next_sequence = in.next_sequence();
  out.reject = in.reject();
  out.installed = in.installed();
  return out;
}

}  // namespace kvd::raft
