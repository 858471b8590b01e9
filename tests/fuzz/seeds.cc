// Writes the inputs that the targets begin with: real encodings, a few of each kind.
//
//   fuzz_seeds DIRECTORY      a folder in it for each target
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "kvd/internal/v1/raft.pb.h"
#include "kvd/v1/cluster.pb.h"
#include "mapreduce/worker/protocol.h"
#include "proto/codec.h"
#include "proto/crc32c.h"
#include "proto/error.h"
#include "raft/log_codec.h"
#include "raft/side_file.h"
#include "raft/wire.h"
#include "server/data_directory.h"
#include "server/shard/command.h"
#include "server/shard/shard_codec.h"
#include "server/state_files.h"
#include "server/storage/mvcc_key.h"
#include "shardctrler/command.h"
#include "tests/fuzz/fuzz_store.h"
#include "tests/scratch_directory.h"

namespace kvd::fuzz {
namespace {

class Seeds {
 public:
  explicit Seeds(std::filesystem::path root) : root_(std::move(root)) {}

  void Add(const std::string& target, const std::string& name, const std::string& bytes) const {
    std::filesystem::create_directories(root_ / target);
    std::ofstream(root_ / target / ("seed-" + name), std::ios::binary) << bytes;
  }

 private:
  const std::filesystem::path root_;
};

// Pieces of an input, as the targets' Reader takes them.
class Pieces {
 public:
  template <typename... N>
  Pieces& Byte(N... v) {
    (writer_.Byte(static_cast<uint8_t>(v)), ...);
    return *this;
  }
  Pieces& Varint(uint64_t v) {
    writer_.Varint(v);
    return *this;
  }
  Pieces& Bytes(std::string_view v) {
    writer_.Bytes(v);
    return *this;
  }
  const std::string& out() const { return out_; }

 private:
  std::string out_;
  Writer writer_{&out_};
};

raft::Configuration ThreeVoters() {
  raft::Configuration c;
  for (uint64_t i = 1; i <= 3; ++i) c.voters.push_back({ReplicaId(i), StoreId(i)});
  return c;
}

void VocabularySeeds(const Seeds& seeds) {
  std::string bytes;
  Writer w(&bytes);
  for (int step : {6, 0, 1, 2, 3, 4, 5}) w.Byte(static_cast<uint8_t>(step));
  w.Byte(7);
  w.Varint(uint64_t{300});
  w.SignedVarint(-5);
  w.Fixed32(1);
  w.Fixed64(2);
  w.Bytes("bytes");
  seeds.Add("codec", "each", bytes);
  seeds.Add("error_status", "not-leader",
            SerializeStatus(NotLeaderError(GroupId(1), StoreId(3), "host:1")));
  seeds.Add("error_status", "limit", SerializeStatus(LimitError("key", 4096, 5000, "bytes")));
  seeds.Add("error_status", "expired",
            SerializeStatus(SessionExpiredError(Timestamp(5), Timestamp(9))));
  seeds.Add("import_record", "json", R"({"key": "k", "value_base64": "AAE="})");
  seeds.Add("import_record", "raw", "k\\x00\tvalue\\n");
}

std::string WalRecord(uint8_t type, const std::string& payload) {
  std::string head(1, static_cast<char>(type));
  uint32_t crc = Crc32c(head + payload);
  uint32_t masked = ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
  std::string out;
  for (int i = 0; i < 4; ++i) out.push_back(static_cast<char>(masked >> 8 * i));
  for (int i = 0; i < 2; ++i) out.push_back(static_cast<char>(payload.size() >> 8 * i));
  return out + head + payload;
}

void DiskSeeds(const Seeds& seeds) {
  raft::Configuration joint = ThreeVoters();
  joint.outgoing = joint.voters;
  joint.voters.pop_back();
  joint.learners = {{ReplicaId(7), StoreId(4)}};
  seeds.Add("configuration", "plain", ThreeVoters().Encode());
  seeds.Add("configuration", "joint", joint.Encode());
  GroupId group(1);
  raft::Entry entry;
  entry.term = Term(3);
  entry.index = Index(9);
  entry.type = raft::EntryType::kCommand;
  entry.data = "command";
  std::string key = raft::EntryKey(group, entry.index);
  seeds.Add("log_record", "entry",
            Pieces().Bytes(key).out() + raft::EncodeEntry(key, entry, Term(2)));
  raft::GroupRecord record;
  record.version = 3;
  record.replica = ReplicaId(2);
  record.start = {Index(5), Term(2), joint};
  record.hard_state = {Term(4), ReplicaId(2), Index(7)};
  record.last = Index(9);
  record.last_term = Term(3);
  seeds.Add(
      "log_record", "meta",
      Pieces().Bytes(raft::LogKey(group, raft::LogKind::kMeta)).out() + raft::EncodeMeta(record));
  seeds.Add(
      "log_record", "state",
      Pieces().Bytes(raft::LogKey(group, raft::LogKind::kState)).out() + raft::EncodeState(record));
  seeds.Add("log_record", "whole",
            Pieces().Bytes(raft::LogKey(group, raft::LogKind::kState)).out() +
                raft::EncodeRecord(record));
  std::string batch = std::string("\x05\0\0\0\0\0\0\0\x01\0\0\0", 12) + "operations";
  seeds.Add("wal_tail", "whole", WalRecord(1, batch) + WalRecord(1, batch));
  seeds.Add("wal_tail", "parts-and-zeroes",
            WalRecord(2, batch.substr(0, 9)) + WalRecord(3, batch.substr(9, 4)) +
                WalRecord(4, batch.substr(13)) + std::string(40, '\0'));
  seeds.Add("wal_tail", "torn", WalRecord(1, batch) + WalRecord(1, batch).substr(0, 15));
  ScratchDirectory directory;
  std::string side = directory.path() + "/side";
  {
    auto file = raft::SideFile::Open(side);
    (*file)->NoteGroup(group, record);
    (*file)->NoteBatch(5);
  }
  std::ifstream in(side, std::ios::binary);
  seeds.Add("side_file", "one-group", std::string((std::istreambuf_iterator<char>(in)), {}));
  server::StoreIdentity identity{server::StoreIdentity::State::kReady, ClusterId(77), StoreId(1),
                                 9};
  seeds.Add("data_directory", "ready", server::FormatIdentity(identity));
  server::Peers peers{ClusterId(77), StoreId(2), {}, {}};
  peers.addresses = {{StoreId(1), "127.0.0.1:7480"}, {StoreId(2), "127.0.0.1:7490"}};
  peers.members.push_back({GroupId(1), ReplicaId(1), StoreId(1), true});
  peers.members.push_back({GroupId(2), ReplicaId(5), StoreId(2), true});
  peers.members.push_back({GroupId(2), ReplicaId(6), StoreId(4), false});
  seeds.Add("peers", "three", server::FormatPeers(peers));
  identity.state = server::StoreIdentity::State::kJoining;
  identity.lost = StoreId(9);
  seeds.Add("data_directory", "lost", server::FormatIdentity(identity));
  seeds.Add("data_directory", "joining", "format 3\ncluster 0\nstore 0\nnonce 5\nstate joining\n");
}

void StorageSeeds(const Seeds& seeds) {
  storage::Version version;
  version.writer = {ClientId(7), Sequence(3)};
  version.expiry = Timestamp(1000);
  version.value = "value";
  version.crc32c = ValueChecksum("key", version.value);
  seeds.Add("version", "value", storage::Encode(version));
  version = {};
  version.kind = storage::VersionKind::kOutcome;
  version.outcome = "outcome";
  seeds.Add("version", "outcome", storage::Encode(version));
  seeds.Add("mvcc_key", "key",
            storage::VersionKey(GroupId(1), std::string("a\0b", 3), Timestamp(500)));
  seeds.Add("mvcc_key", "pair", Pieces().Bytes(std::string("a\0", 2)).out() + "a");
}

shard::Command Write() {
  shard::Command command;
  command.timestamp = Timestamp(100);
  command.writer = {ClientId(7), Sequence(3)};
  command.conditions = {{"c", shard::Condition::Test::kValueEquals, "v", {}},
                        {"d", shard::Condition::Test::kVersionEquals, "", Timestamp(4)}};
  shard::Operation put;
  put.key = "k";
  put.value = "v";
  put.crc32c = ValueChecksum("k", "v");
  shard::Operation increment;
  increment.type = shard::Operation::Type::kIncrement;
  increment.key = "n";
  increment.delta = -3;
  command.operations = {put, increment};
  command.otherwise = {put};
  return command;
}

void CommandSeeds(const Seeds& seeds) {
  seeds.Add("command", "write", shard::Encode(Write()));
  shard::Command command;
  command.kind = shard::CommandKind::kDeleteRange;
  command.range = {"a", "b"};
  seeds.Add("command", "delete-range", shard::Encode(command));
  command = {};
  command.kind = shard::CommandKind::kFence;
  command.operation = OperationId(9);
  seeds.Add("command", "fence", shard::Encode(command));
  command = {};
  command.kind = shard::CommandKind::kMachine;
  command.payload = "payload";
  seeds.Add("command", "machine", shard::Encode(command));
  command = {};
  command.kind = shard::CommandKind::kShard;
  command.step.kind = shard::StepKind::kImport;
  command.step.operation = OperationId(9);
  command.step.shard = ShardId(7);
  command.step.at = Timestamp(500);
  shard::AppendRow(&command.step.rows, {"key", Timestamp(400), "version"});
  seeds.Add("command", "shard-import", shard::Encode(command));
}

void ControllerSeeds(const Seeds& seeds) {
  using shardctrler::Command;
  using shardctrler::CommandKind;
  Command bootstrap;
  bootstrap.kind = CommandKind::kBootstrap;
  bootstrap.cluster = ClusterId(77);
  bootstrap.joining = {{"a:1", 5, 2, {{"zone", "east"}}, {}}};
  Command join;
  join.kind = CommandKind::kJoin;
  join.joining = {{"b:1", 6, 2, {}, {}}};
  Command create;
  create.kind = CommandKind::kAdvance;
  create.id = OperationId(1);
  create.next = shardctrler::Phase::kDone;
  Command split;
  split.kind = CommandKind::kOpen;
  split.operation.kind = shardctrler::OperationKind::kSplit;
  split.operation.shard = ShardId(1);
  split.operation.key = "m";
  Command done = create;
  done.id = OperationId(4);
  Pieces all;
  for (const Command& command : {bootstrap, join, create, split, done}) {
    all.Bytes(shardctrler::Encode(command));
  }
  seeds.Add("controller", "split", all.out());
  split.operation.kind = shardctrler::OperationKind::kChangeReplicas;
  split.operation.group = GroupId(2);
  split.operation.added = {{ReplicaId(), StoreId(2)}};
  split.operation.removed = {ReplicaId(2)};
  Command drain;
  drain.kind = CommandKind::kSetStoreState;
  drain.store = StoreId(1);
  drain.state = shardctrler::StoreState::kDraining;
  Command set;
  set.kind = CommandKind::kSet;
  set.name = "replicas";
  set.value = 5;
  Command label;
  label.kind = CommandKind::kSetLabel;
  label.store = StoreId(1);
  label.name = "zone";
  label.text = "attic";
  Pieces more;
  for (const Command& command : {bootstrap, join, create, split, done, drain, set, label}) {
    more.Bytes(shardctrler::Encode(command));
  }
  seeds.Add("controller", "replicas", more.out());
}

// A store that has done this and that, and what it holds.
void StateSeeds(const Seeds& seeds) {
  FuzzStore store(1);
  for (const char* key : {"a", "b", "c"}) {
    service::RequestItem put;
    put.mutable_put()->set_key(key);
    put.mutable_put()->set_value("value");
    put.mutable_put()->set_ttl_ms(key[0] == 'b' ? 100'000 : 0);
    store.Execute(put);
  }
  service::RequestItem remove;
  remove.mutable_delete_()->set_key("c");
  store.Execute(remove);
  auto snapshot = store.store().group().TakeSnapshot();
  raft::SnapshotMeta meta = (*snapshot)->meta();
  Pieces chunks;
  chunks.Varint(meta.index.value()).Varint(meta.term.value());
  Pieces to_store;
  for (uint64_t i = 0;; ++i) {
    auto chunk = (*snapshot)->Read(i);
    chunks.Bytes(chunk->data);
    raft::SnapshotChunk out{sim::kGroup, ReplicaId(2), ReplicaId(1),        Term(3),    55, meta,
                            i,           chunk->data,  Crc32c(chunk->data), chunk->last};
    out.meta.configuration = ThreeVoters();
    internal::v1::SnapshotChunk wire;
    raft::ToWire(std::move(out), &wire);
    to_store.Byte(128 + 4).Bytes(wire.SerializeAsString());
    if (chunk->last) break;
  }
  seeds.Add("snapshot", "whole", chunks.out());
  seeds.Add("raft_store", "snapshot", to_store.Byte(1, 8 * 20).out());
  Pieces records;
  constexpr const char* kNames[] = {"applied", "config", "safe", "closed", "stores"};
  for (int i = 0; i < 5; ++i) {
    auto bytes = store.store().engine().Get(storage::MetaKey(sim::kGroup, kNames[i]));
    if (bytes->has_value()) records.Byte(i).Bytes(**bytes);
  }
  shard::ShardDescriptor importing{ShardId(7), {"k", "l"}, Epoch(2), shard::ShardState::kImporting};
  importing.operation = OperationId(9);
  importing.copying = Timestamp(5);
  importing.next_key = "kk";
  records.Byte(6, 7).Bytes(shard::Encode(importing));
  records.Byte(7, 7).Bytes(shard::Encode(shard::FinishedStep{OperationId(8)}));
  seeds.Add("group_meta", "records", records.out());
}

std::string OnWire(raft::Message m) {
  m.from = ReplicaId(2);
  m.to = ReplicaId(1);
  m.from_store = StoreId(2);
  internal::v1::Message wire;
  raft::ToWire({sim::kGroup, std::move(m)}, &wire);
  return wire.SerializeAsString();
}

std::string Append(uint64_t previous, raft::EntryType type, std::string data) {
  auto entry = std::make_shared<raft::Entry>();
  entry->index = Index(previous + 1);
  entry->term = Term(2);
  entry->type = type;
  entry->data = std::move(data);
  raft::Message m;
  m.term = Term(2);
  m.index = Index(previous);
  m.log_term = previous == 0 ? Term() : Term(2);
  m.entries = {std::move(entry)};
  m.commit = Index(previous);
  return OnWire(std::move(m));
}

void MessageSeeds(const Seeds& seeds) {
  raft::Configuration joint = ThreeVoters();
  joint.outgoing = joint.voters;
  joint.voters.pop_back();
  std::string appends[] = {Append(0, raft::EntryType::kEmpty, ""),
                           Append(1, raft::EntryType::kCommand, shard::Encode(Write())),
                           Append(2, raft::EntryType::kConfiguration, joint.Encode())};
  raft::Message m;
  m.type = raft::MessageType::kHeartbeat;
  m.term = Term(2);
  m.commit = Index(3);
  m.round = 4;
  m.sent_at = MonotonicTime(std::chrono::hours(1));
  m.wall_ms = 1'700'000'000'000;
  std::string heartbeat = OnWire(m);
  Pieces follower, member;
  for (const std::string& append : appends) {
    follower.Byte(4).Bytes(append);
    member.Byte(6).Bytes(append);
  }
  seeds.Add("raft_message", "follower", follower.Byte(4).Bytes(heartbeat).Byte(8 * 30 + 1).out());
  seeds.Add("raft_store", "follower",
            member.Byte(6).Bytes(heartbeat).Byte(8 * 10, 1, 8 * 20).out());
  Pieces leader;
  leader.Byte(3, 8 * 9 + 2);
  for (auto type : {raft::MessageType::kAppendReply, raft::MessageType::kHeartbeatReply,
                    raft::MessageType::kVote, raft::MessageType::kTimeoutNow,
                    raft::MessageType::kPreVote, raft::MessageType::kRemoved}) {
    m = {};
    m.type = type;
    m.index = Index(2);
    m.round = 1;
    leader.Byte(4 + 8 + 16).Bytes(OnWire(m)).Byte(8 * 20);
  }
  seeds.Add("raft_message", "leader", leader.out());
}

std::string Filler(int seed, int bytes) {
  Random random(static_cast<uint64_t>(seed));
  std::string out;
  for (int i = 0; i < bytes; ++i)
    out.push_back(static_cast<char>(random.Below(seed % 2 == 0 ? 200 : 32)));
  return out;
}

void RequestSeeds(const Seeds& seeds) {
  for (int i = 0; i < 12; ++i) {
    std::string name = std::to_string(i);
    seeds.Add("request", "shaped-" + name, Filler(i, 120));
    seeds.Add("scan", "shaped-" + name, Filler(100 + i, 160));
    seeds.Add("members", "shaped-" + name, Filler(200 + i, 80));
    seeds.Add("client_response", "shaped-" + name, Filler(300 + i, 120));
  }
  service::RequestItem item;
  item.mutable_batch()->add_operations()->set_key("k");
  item.mutable_batch()->mutable_operations(0)->mutable_put()->set_value("v");
  item.mutable_batch()->add_conditions()->set_key("c");
  item.mutable_batch()->mutable_conditions(0)->set_absent(true);
  seeds.Add("request", "wire", Pieces().Byte(1, 200).Bytes(item.SerializeAsString()).out());
  v1::ScanRequest scan;
  scan.mutable_range()->set_start("a");
  scan.set_page_bytes(1024);
  seeds.Add("scan", "wire",
            Pieces().Byte(200).Bytes(scan.SerializeAsString()).out() + Filler(400, 100));
  service::ResponseItem answer;
  answer.mutable_get()->set_found(true);
  answer.mutable_get()->mutable_header()->set_token(5);
  answer.mutable_get()->mutable_version()->set_value("v");
  seeds.Add("client_response", "get",
            Pieces().Byte(6, 0, 0, 0, 0, 0, 2).Bytes(answer.SerializeAsString()).out());
}

std::string HelloMessage() {
  internal::v1::MessageBatch batch;
  internal::v1::Message* message = batch.add_messages();
  message->ParseFromString(Append(0, raft::EntryType::kEmpty, ""));
  return batch.SerializeAsString();
}

// Calls and streams at the services.
void CallSeeds(const Seeds& seeds) {
  v1::ScanRequest scan;
  scan.set_limit(1);
  for (int method = 0; method < 18; ++method) {
    seeds.Add("service_calls", "method-" + std::to_string(method),
              Pieces().Byte(method, 2, 0).Bytes("").Byte(200).Bytes("x").out() +
                  Filler(500 + method, 60));
  }
  seeds.Add("service_calls", "scan-of-bytes",
            Pieces().Byte(1, 1, 0).Bytes(scan.SerializeAsString()).out());
  seeds.Add("transport_streams", "batch",
            Pieces().Byte(0, 1, 0, 5).Bytes(HelloMessage()).Byte(1).Bytes(HelloMessage()).out());
  seeds.Add("transport_streams", "chunk", Pieces().Byte(1, 0, 0, 5).Bytes("").out());
  seeds.Add("transport_streams", "refused", Pieces().Byte(0, 0, 0, 1).Bytes("").out());
}

// What clients are answered, and kvctl's words.
void ClientSeeds(const Seeds& seeds) {
  v1::ScanResponse page;
  page.set_read_timestamp(5);
  auto* row = page.add_rows();
  row->set_key("k");
  row->mutable_version()->set_value("v");
  row->mutable_version()->set_crc32c(ValueChecksum("k", "v"));
  std::string first = page.SerializeAsString();
  page.set_done(true);
  seeds.Add("client_stream", "scan",
            Pieces().Byte(1, 0, 2).Bytes(first).Bytes(page.SerializeAsString()).Byte(0).out());
  seeds.Add("client_stream", "broken",
            Pieces()
                .Byte(1, 4, 1)
                .Bytes(first)
                .Byte(14)
                .Bytes("gone")
                .Bytes("")
                .Byte(1)
                .Bytes("\xff")
                .Byte(0)
                .out());
  v1::StatusResponse status;
  status.add_groups()->add_replicas()->set_address("any:1");
  v1::MembersResponse members;
  members.add_stores()->set_store_id(1);
  members.add_groups()->add_replicas()->set_progress("replicate");
  std::string answer = status.SerializeAsString();
  seeds.Add("client_stream", "cluster",
            Pieces()
                .Byte(0, 1)
                .Bytes(answer)
                .Byte(0, 1)
                .Bytes(members.SerializeAsString())
                .Byte(0)
                .out());
  seeds.Add("client_stream", "no-group",
            Pieces().Byte(0, 1).Bytes("").Byte(0, 1).Bytes("").Byte(0).out());
  v1::GetVerificationResponse verified;
  verified.set_state(v1::GetVerificationResponse::DONE);
  verified.set_hashed(true);
  verified.set_hash(5);
  for (int json = 0; json < 2; ++json) {
    std::string name = json == 0 ? "json" : "text";
    seeds.Add("kvctl_text", "status-" + name,
              Pieces().Byte(json).Bytes(members.SerializeAsString()).Bytes(answer).out());
    seeds.Add(
        "kvctl_text", "down-" + name,
        Pieces().Byte(json).Bytes(members.SerializeAsString()).Bytes("").Bytes("\xff\x1b").out());
    seeds.Add("kvctl_text", "verify-" + name,
              Pieces()
                  .Byte(2 + json, 2, 1)
                  .Bytes("a:1")
                  .Byte(1)
                  .Bytes(verified.SerializeAsString())
                  .Byte(2)
                  .Bytes("b:1")
                  .Byte(0)
                  .Bytes("gone")
                  .Bytes("")
                  .out());
  }
  seeds.Add("kvctl_words", "quotes", "put 'a b' \"c\\\" d\"\te\\ f");
  seeds.Add("kvctl_words", "open", "get 'a");
}

void NoteSeeds(const Seeds& seeds) {
  server::RebuildTimes times{3, {1000, 1100, 5000}};
  seeds.Add("state_notes", "rebuilds", "\x01" + server::FormatRebuildTimes(times));
  seeds.Add("state_notes", "sum-is-made",
            "\x03"
            "3\n1000\n5000\n");
  seeds.Add("state_notes", "state", std::string("\0a block is bad\n", 16));
  seeds.Add("state_notes", "log",
            "\x02"
            "Corruption: block");
}

void WorkerSeeds(const Seeds& seeds) {
  namespace wire = mapreduce::wire;
  std::string out;
  auto frame = [&](wire::FrameType type, const Pieces& pieces) {
    size_t start = wire::BeginFrame(type, &out);
    out += pieces.out();
    wire::EndFrame(start, &out);
  };
  frame(wire::FrameType::kEmits, Pieces().Bytes("key").Bytes("value").Bytes("").Bytes(""));
  frame(wire::FrameType::kCounts, Pieces().Bytes("lines").Varint(6).Bytes("bytes").Varint(1));
  frame(wire::FrameType::kLog, Pieces().Byte('h', 'i'));
  frame(wire::FrameType::kPartitions, Pieces().Varint(3).Varint(300));
  frame(wire::FrameType::kDone, Pieces());
  seeds.Add("worker_answer", "done", out);
  out.clear();
  frame(wire::FrameType::kFailure, Pieces().Byte(2).Bytes("script error at line 3: x"));
  seeds.Add("worker_answer", "failure", out);
  out.clear();
  std::string load;
  wire::Load{wire::Role::kReduce, "job", "task", "source", {{"a", "b"}}, 1 << 20}.Encode(&load);
  size_t start = wire::BeginFrame(wire::FrameType::kLoad, &out);
  out += load;
  wire::EndFrame(start, &out);
  seeds.Add("worker_answer", "load", out);
}

}  // namespace
}  // namespace kvd::fuzz

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
    return 2;
  }
  kvd::fuzz::Seeds seeds(argv[1]);
  kvd::fuzz::VocabularySeeds(seeds);
  kvd::fuzz::DiskSeeds(seeds);
  kvd::fuzz::StorageSeeds(seeds);
  kvd::fuzz::CommandSeeds(seeds);
  kvd::fuzz::ControllerSeeds(seeds);
  kvd::fuzz::StateSeeds(seeds);
  kvd::fuzz::MessageSeeds(seeds);
  kvd::fuzz::RequestSeeds(seeds);
  kvd::fuzz::CallSeeds(seeds);
  kvd::fuzz::ClientSeeds(seeds);
  kvd::fuzz::NoteSeeds(seeds);
  kvd::fuzz::WorkerSeeds(seeds);
  return 0;
}
