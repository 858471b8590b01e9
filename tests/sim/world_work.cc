// What clients and operators do to a simulated cluster that looks after itself.
#include "absl/strings/str_cat.h"
#include "proto/check.h"
#include "tests/sim/world.h"

namespace kvd::sim {

using shardctrler::Command;
using shardctrler::CommandKind;
using shardctrler::OperationKind;
using shardctrler::StoreState;

void World::ScheduleOperation() {
  scheduler_.After(milliseconds(operation_random_.Between(50, crowded_ ? 200 : 800)), [this] {
    if (!working_) return;
    Operate();
    ScheduleOperation();
  });
}

// Several shards, in whichever groups: what clients ask for is not all in one.
void World::Spread() {
  auto carry_out = [this](Command command) {
    command.kind = CommandKind::kOpen;
    auto begun = ControlNow(command);
    if (begun.ok()) AwaitOperation(begun->operation);
  };
  for (const char* key : {"k1", "k2", "k3", "k4"}) {
    if (!Await([this] { return state() != nullptr; })) return;
    Command split;
    split.operation.kind = OperationKind::kSplit;
    split.operation.shard = state()->shards().At(key)->second.id;
    split.operation.key = key;
    carry_out(split);
  }
  if (!Await([this] { return state() != nullptr; })) return;
  std::vector<ShardId> shards;
  for (const auto& [start, shard] : state()->shards().shards()) shards.push_back(shard.id);
  std::vector<GroupId> groups;
  for (const auto& [id, group] : state()->groups()) groups.push_back(id);
  for (ShardId shard : shards) {
    Command move;
    move.operation.kind = OperationKind::kMove;
    move.operation.shard = shard;
    move.operation.to = groups[operation_random_.Below(groups.size())];
    carry_out(move);
  }
}

// Something that an operator might want; what makes no sense is refused.
void World::Operate() {
  const shardctrler::State* known = state();
  if (known == nullptr || known->shards().empty()) return;
  Random& random = operation_random_;
  Command command;
  command.kind = CommandKind::kOpen;
  auto shard = std::next(known->shards().shards().begin(),
                         static_cast<ptrdiff_t>(random.Below(known->shards().size())));
  command.operation.shard = shard->second.id;
  auto pick = random.Below(100);
  if (crowded_ && pick < 75) pick = 30;
  if (pick < 30) {
    auto group = std::next(known->groups().begin(),
                           static_cast<ptrdiff_t>(random.Below(known->groups().size())));
    command.operation.kind = OperationKind::kMove;
    command.operation.to = group->first;
  } else if (pick < 60) {
    command.operation.kind = OperationKind::kSplit;
    command.operation.key = absl::StrCat(random.Chance(0.2) ? "n" : "k", random.Below(6),
                                         random.Chance(0.5) ? "" : std::to_string(random.Below(9)));
    command.operation.by_hand = random.Chance(0.3);
  } else if (pick < 75) {
    command.operation.kind = OperationKind::kMerge;
  } else if (pick < 80) {
    command.kind = CommandKind::kSet;
    command.name = "shard-load-max";
    command.value = random.Between(10, 60);
  } else if (pick < 90) {
    for (const auto& [id, o] : known->operations()) {
      if (!shardctrler::IsOpen(o.phase) || random.Chance(0.5)) continue;
      command.kind = CommandKind::kAdvance;
      command.id = id;
      command.phase = shardctrler::Phase::kRunning;
      command.next = shardctrler::Phase::kCancelling;
      return Control(command);
    }
    return;
  } else if (pick < 95 && StoresThere() > 3) {
    command = DrainOrBack();
  } else {
    if (StoresThere() < static_cast<size_t>(options_.stores) + 3) AddStore();
    return;
  }
  Control(command);
}

// So many stay that groups keep three replicas: else what is damaged, or lost, may be all there is.
Command World::DrainOrBack() {
  Random& random = operation_random_;
  Command command;
  command.kind = CommandKind::kSetStoreState;
  command.store = AnyStore(random).id();
  command.state =
      StoresServing() > 3 && random.Chance(0.5) ? StoreState::kDraining : StoreState::kServing;
  return command;
}

// A scan at whichever store; what it gives is compared with what was written.
void World::ScheduleScan() {
  scheduler_.After(milliseconds(operation_random_.Between(100, 1500)), [this] {
    if (!working_ || clients_.empty()) return;
    ScheduleScan();
    NodeStore& store = AnyStore(operation_random_);
    if (!store.running()) return;
    v1::ScanRequest request;
    request.set_reverse(operation_random_.Chance(0.4));
    if (operation_random_.Chance(0.5)) request.mutable_range()->set_start("k1");
    if (operation_random_.Chance(0.5)) request.mutable_range()->set_end("k4");
    request.set_page_bytes(1024);
    if (operation_random_.Chance(0.3)) request.set_limit(operation_random_.Between(1, 8));
    NodeProcess& process = store.process();
    auto scan = std::make_shared<WorldRead>();
    scan->range = {request.range().start(), request.range().end()};
    scan->reverse = request.reverse();
    scan->limit = request.limit();
    scan->began = scheduler_.now();
    process.loop->Post([this, scan, request, &process] {
      process.scans.push_back(std::make_shared<service::ScanReader>(
          process.loop.get(), &process.node->dispatcher(), request));
      ReadOn(process.scans.back().get(), scan);
    });
  });
}

void World::ReadOn(service::ScanReader* reader, const std::shared_ptr<WorldRead>& scan) {
  reader->Next([this, reader, scan](absl::StatusOr<v1::ScanResponse> page) {
    if (!page.ok()) return;
    Timestamp at(page->read_timestamp());
    KVD_CHECK(!scan->at || scan->at == at);
    scan->at = at;
    for (const auto& row : page->rows()) scan->rows.emplace_back(row.key(), row.version().value());
    if (!page->done()) return ReadOn(reader, scan);
    KVD_CHECK(scan->limit == 0 || scan->rows.size() <= scan->limit);
    // It tells nothing of what lies behind.
    if (scan->limit != 0 && scan->rows.size() == scan->limit) {
      const std::string& last = scan->rows.back().first;
      (scan->reverse ? scan->range.start : scan->range.end) = scan->reverse ? last : last + '\0';
    }
    scans_.push_back(*scan);
    ++report_.scans;
  });
}

}  // namespace kvd::sim
