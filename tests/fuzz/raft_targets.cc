// What the Raft layer reads from disk and network.
#include <fstream>

#include "kvd/internal/v1/raft.pb.h"
#include "proto/check.h"
#include "proto/codec.h"
#include "raft/core/core.h"
#include "raft/log_codec.h"
#include "raft/side_file.h"
#include "raft/wal_tail.h"
#include "raft/wire.h"
#include "tests/fuzz/target.h"
#include "tests/raft/core/fake_disk.h"
#include "tests/scratch_directory.h"

namespace kvd::raft {
namespace {

KVD_FUZZ_TARGET(configuration) {
  Configuration configuration;
  if (!Configuration::Decode(input, &configuration)) return;
  for (const Member& m : configuration.Members()) {
    KVD_CHECK(m.replica && m.store && configuration.Contains(m.replica));
    KVD_CHECK(configuration.StoreOf(m.replica) == m.store);
    KVD_CHECK(configuration.ReplicaOn(m.store));
  }
  KVD_CHECK(!configuration.IsJoint() || !configuration.voters.empty());
  (void)configuration.ToString();
  Configuration again;
  KVD_CHECK(Configuration::Decode(configuration.Encode(), &again) && again == configuration);
}

// A key and a value of the log store.
KVD_FUZZ_TARGET(log_record) {
  Reader r(input);
  std::string_view key = r.Bytes();
  std::string_view value = r.rest();
  GroupId group;
  LogKind kind;
  Index index;
  auto found = DecodeEntry(key, value);
  if (!ParseLogKey(key, &group, &kind, &index)) {
    KVD_CHECK(!found.has_value());
    return;
  }
  GroupRecord record, again;
  if (DecodeMeta(value, &record)) {
    KVD_CHECK(DecodeMeta(EncodeMeta(record), &again) && EncodeMeta(again) == EncodeMeta(record));
  }
  if (DecodeState(value, &record)) {
    KVD_CHECK(DecodeState(EncodeState(record), &again) &&
              EncodeState(again) == EncodeState(record));
  }
  if (DecodeRecord(value, &record)) {
    KVD_CHECK(DecodeRecord(EncodeRecord(record), &again) &&
              EncodeRecord(again) == EncodeRecord(record));
  }
  if (kind != LogKind::kEntry) return;
  // With a checksum that fits, which chance would not find: what is written is read.
  Entry made;
  made.index = index;
  made.term = Term(value.size());
  made.type = EntryType::kCommand;
  made.data = value;
  auto back = DecodeEntry(key, EncodeEntry(key, made, Term(1)));
  KVD_CHECK(back && back->entry->term == made.term && back->entry->data == made.data &&
            back->previous == Term(1));
  KVD_CHECK(!found || found->entry->index == index);
}

KVD_FUZZ_TARGET(wal_tail) {
  WalTail tail = FindWalTail(input);
  KVD_CHECK(tail.whole_bytes + tail.garbage_bytes == input.size());
  KVD_CHECK(tail.last_sequence.has_value() || tail.whole_bytes == 0);
  // Cut there, nothing is lost and nothing is left over.
  WalTail cut = FindWalTail(input.substr(0, tail.whole_bytes));
  KVD_CHECK(cut.garbage_bytes == 0 && cut.last_sequence == tail.last_sequence);
}

// Any bytes as the side file: what it tells is told again after it was opened and noted in.
KVD_FUZZ_TARGET(side_file) {
  static const auto* directory = new ScratchDirectory();
  std::string path = directory->path() + "/side";
  std::ofstream(path, std::ios::binary | std::ios::trunc) << input;
  auto file = SideFile::Open(path);
  KVD_CHECK(file.ok());
  std::optional<uint64_t> batch = (*file)->batch();
  std::map<GroupId, GroupRecord> records = (*file)->records();
  (*file)->NoteGroup(GroupId(7), GroupRecord());
  (*file)->NoteBatch(batch.value_or(0));
  file->reset();
  file = SideFile::Open(path);
  KVD_CHECK(file.ok() && (*file)->batch() == batch.value_or(0) &&
            (*file)->records().contains(GroupId(7)));
  for (const auto& [group, record] : records) {
    bool same =
        group == GroupId(7) || EncodeRecord((*file)->records().at(group)) == EncodeRecord(record);
    KVD_CHECK(same);
  }
}

constexpr uint64_t kSelf = 1;

Configuration ThreeVoters() {
  Configuration c;
  for (uint64_t i = 1; i <= 3; ++i) c.voters.push_back({ReplicaId(i), StoreId(i)});
  return c;
}

// A core with a disk, to which any message may come.
class Replica {
 public:
  Replica() {
    disk_.start.configuration = ThreeVoters();
    InitialState initial;
    initial.start = disk_.start;
    core_ = std::make_unique<Core>(ReplicaId(kSelf), CoreOptions(), std::move(initial), &disk_,
                                   now_, 1);
  }

  const Core& core() const { return *core_; }

  void Elapse(Duration duration) {
    now_ += duration;
    core_->Tick(now_);
    Settle();
  }
  void Propose(std::string command) {
    (void)core_->Propose(now_, std::move(command));
    Settle();
  }
  void Step(const Message& message) {
    // Two leaders of one term are beyond what Raft survives: the core ends the process, as it
    // should.
    bool from_leader =
        message.type == MessageType::kAppend || message.type == MessageType::kHeartbeat;
    if (core_->IsLeader() && from_leader && message.term == core_->term()) return;
    core_->Step(now_, message);
    Settle();
  }
  // Becomes leader by the votes of the others.
  void Lead() {
    Elapse(milliseconds(2000));
    Message vote;
    vote.to = ReplicaId(kSelf);
    vote.from = ReplicaId(2);
    vote.from_store = StoreId(2);
    vote.type = MessageType::kPreVoteReply;
    vote.term = core_->term() + 1;
    Step(vote);
    vote.type = MessageType::kVoteReply;
    Step(vote);
  }

 private:
  // Everything that it wants done is done at once; the invariants hold before and after.
  void Settle() {
    for (int i = 0; i < 1000; ++i) {
      core_->CheckState();
      Output output = core_->TakeOutput();
      bool idle = !output.NeedsWrite() && output.committed.empty();
      if (output.NeedsWrite()) {
        disk_.Write(output);
        if (output.hard_state) core_->OnTermPersisted(output.hard_state->term);
        if (!output.entries.empty()) {
          core_->OnPersisted(now_, output.entries.back()->index, output.entries.back()->term);
        }
      }
      for (const auto* messages : {&output.messages, &output.messages_after_persist}) {
        for (const Message& m : *messages) CheckRoundTrip(m);
      }
      if (!output.committed.empty()) core_->OnApplied(output.committed.back()->index);
      if (idle) return;
    }
    KVD_CHECK(false);
  }

  // What it says passes the check at the other end.
  void CheckRoundTrip(Message m) const {
    m.from_store = StoreId(1);
    internal::v1::Message wire;
    ToWire({GroupId(1), m}, &wire);
    GroupMessage back;
    if (m.term.value() > uint64_t{1} << 60) return;  // driven there by the input
    KVD_CHECK(FromWire(&wire, &back) && back.message.type == m.type && back.message.to == m.to);
  }

  MonotonicTime now_{std::chrono::hours(1)};
  FakeDisk disk_;
  std::unique_ptr<Core> core_;
};

// Steps: a byte says what happens; a message is length-prefixed protobuf bytes as they come from a
// peer. Nothing may make the core break an invariant.
KVD_FUZZ_TARGET(raft_message) {
  Replica replica;
  Reader r(input);
  for (int steps = 0; steps < 64 && r.ok() && !r.rest().empty(); ++steps) {
    uint8_t step = r.Byte();
    switch (step & 7) {
      case 0: replica.Elapse(milliseconds(step >> 3)); break;
      case 1: replica.Elapse(milliseconds(100 * (step >> 3))); break;
      case 2: replica.Propose(std::string(step >> 3, 'c')); break;
      case 3: replica.Lead(); break;
      default: {
        internal::v1::Message wire;
        std::string_view bytes = r.Bytes();
        if (!wire.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) break;
        // So that more of them get past the address.
        if ((step & 8) != 0) wire.set_to(kSelf);
        if ((step & 16) != 0) wire.set_term(replica.core().term().value() + (step >> 7));
        GroupMessage message;
        if (FromWire(&wire, &message)) replica.Step(message.message);
      }
    }
  }
}

}  // namespace
}  // namespace kvd::raft
