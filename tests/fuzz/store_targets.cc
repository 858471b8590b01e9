// A whole store: what clients ask, what operators ask, what other stores send.
#include "kvd/internal/v1/raft.pb.h"
#include "proto/check.h"
#include "raft/wire.h"
#include "server/service/scan_reader.h"
#include "tests/fuzz/fuzz_store.h"
#include "tests/fuzz/target.h"

namespace kvd::fuzz {
namespace {

namespace pb = internal::v1;

// Requests one after the other: each gets its one answer, and the store serves on.
KVD_FUZZ_TARGET(request) {
  FuzzStore store(1);
  Reader r(input);
  for (int n = 0; n < 20 && r.ok() && !r.rest().empty(); ++n) {
    if (r.Byte() % 8 == 0) store.Elapse(milliseconds(20 * r.Byte()));
    store.Execute(TakeRequest(r));
  }
  store.CheckServes();
}

struct Scanned {
  std::vector<std::string> keys;
  uint64_t count = 0;
};

// Every page of a scan, as the service asks for them.
absl::StatusOr<Scanned> ScanAll(FuzzStore& store, const v1::ScanRequest& request) {
  auto reader = std::make_shared<service::ScanReader>(store.store().process().loop.get(),
                                                      &store.dispatcher(), request);
  Scanned scanned;
  for (int pages = 0;; ++pages) {
    KVD_CHECK(pages < 1000);
    std::optional<absl::StatusOr<v1::ScanResponse>> page;
    reader->Next([&](absl::StatusOr<v1::ScanResponse> found) {
      KVD_CHECK(!page.has_value());
      page = std::move(found);
    });
    for (int i = 0; !page.has_value(); ++i) {
      KVD_CHECK(i < 1000);
      store.Elapse(milliseconds(20));
    }
    if (!page->ok()) return page->status();
    for (const auto& row : (*page)->rows()) {
      KVD_CHECK(scanned.keys.empty() || (scanned.keys.back() < row.key()) != request.reverse());
      scanned.keys.push_back(row.key());
    }
    scanned.count = (*page)->count();
    if ((*page)->done()) return scanned;
  }
}

KVD_FUZZ_TARGET(scan) {
  FuzzStore store(1);
  Reader r(input);
  v1::ScanRequest request = TakeScan(r);
  for (int n = 0; n < 12 && r.ok() && !r.rest().empty(); ++n) store.Execute(TakeRequest(r));
  auto scanned = ScanAll(store, request);
  if (scanned.ok()) {
    if (!request.count_only()) KVD_CHECK(scanned->keys.size() == scanned->count);
    KVD_CHECK(request.limit() == 0 || scanned->count <= request.limit());
    // Counted the other way round it is the same, as long as nothing is left out.
    request.set_reverse(!request.reverse());
    request.set_page_bytes(0);
    auto again = ScanAll(store, request);
    bool fixed = request.read().consistency() == v1::ReadOptions::LINEARIZABLE;
    if (fixed && again.ok()) KVD_CHECK(again->count == scanned->count);
  }
  store.CheckServes();
}

raft::Member TakeMember(Reader& r) { return {ReplicaId(r.Byte() % 6), StoreId(r.Byte() % 6)}; }

// What the controller asks a group's leader for: the only voter goes on serving.
KVD_FUZZ_TARGET(members) {
  FuzzStore store(1);
  Reader r(input);
  for (int n = 0; n < 24 && r.ok() && !r.rest().empty(); ++n) {
    auto ignore = [](const auto&) {};
    switch (r.Byte() % 4) {
      case 0: store.Elapse(milliseconds(10 * r.Byte())); break;
      case 1:
        (void)store.store().process().host->TransferLeadership(sim::kGroup,
                                                               ReplicaId(r.Byte() % 6));
        break;
      default: {
        node::ReplicaChange::Change change;
        uint8_t what = r.Byte();
        change.operation = OperationId(what % 8);
        for (int i = what % 3; i > 0; --i) change.added.push_back(TakeMember(r));
        // Without the only voter there would be nobody to ask.
        if (what >= 128) change.removed.push_back(ReplicaId(2 + r.Byte() % 5));
        change.abandon = what % 4 == 3;
        store.store().process().change->Run(change, milliseconds(100 * r.Byte()), ignore);
      }
    }
    store.Elapse(milliseconds(2));
    store.store().core().CheckState();
  }
  store.Elapse(std::chrono::seconds(2));
  store.CheckServes();
}

// Whether a message's commands are ones that a leader lets into its log: what they hold is its
// affair.
bool CommandsAreValid(const raft::Message& m) {
  for (const raft::EntryPtr& entry : m.entries) {
    if (entry->type != raft::EntryType::kCommand) continue;
    auto command = shard::DecodeCommand(entry->data);
    constexpr Timestamp kFar{uint64_t{1} << 60};
    if (!command.ok() || !shard::Validate(*command).ok() || command->timestamp > kFar) return false;
  }
  return true;
}

void TakeMessage(Reader& r, bool aimed, FuzzStore& store) {
  pb::Message wire;
  std::string_view bytes = r.Bytes();
  if (!wire.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
  const raft::Core& core = store.store().core();
  if (aimed) {
    wire.set_group_id(1);
    wire.set_to(1);
    wire.set_term(core.term().value() + (wire.term() & 1));
  }
  raft::GroupMessage message;
  if (!raft::FromWire(&wire, &message) || !CommandsAreValid(message.message)) return;
  // Two leaders of one term are beyond what Raft survives.
  bool from_leader = message.message.type == raft::MessageType::kAppend ||
                     message.message.type == raft::MessageType::kHeartbeat;
  if (core.IsLeader() && from_leader && message.message.term == core.term()) return;
  store.store().process().host->OnMessages({message});
}

void TakeChunk(Reader& r, bool aimed, FuzzStore& store) {
  pb::SnapshotChunk wire;
  std::string_view bytes = r.Bytes();
  if (!wire.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
  if (aimed) {
    wire.set_group_id(1);
    wire.set_to(1);
    wire.set_term(std::max(wire.term(), store.store().core().term().value()));
  }
  raft::SnapshotChunk chunk;
  if (raft::FromWire(&wire, &chunk))
    store.store().process().host->OnChunk(StoreId(2), std::move(chunk));
}

void TakeAck(Reader& r, FuzzStore& store) {
  pb::SnapshotAck wire;
  std::string_view bytes = r.Bytes();
  if (!wire.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
  store.store().process().host->OnAck(raft::FromWire(wire));
}

// One of three voters, told anything by the others, and restarted in between: no invariant breaks.
KVD_FUZZ_TARGET(raft_store) {
  FuzzStore store(3);
  Reader r(input);
  for (int n = 0; n < 40 && r.ok() && !r.rest().empty(); ++n) {
    uint8_t step = r.Byte();
    switch (step % 8) {
      case 0: store.Elapse(milliseconds(20 * (step >> 3))); break;
      case 1:
        store.store().Crash();
        store.store().Start();
        break;
      case 2: TakeAck(r, store); break;
      case 3: store.dispatcher().Execute(TakeRequest(r), [](const auto&) {}); break;
      case 4:
      case 5: TakeChunk(r, step >= 128, store); break;
      default: TakeMessage(r, step >= 64, store); break;
    }
    store.Elapse(milliseconds(1));
    store.store().core().CheckState();
  }
}

}  // namespace
}  // namespace kvd::fuzz
