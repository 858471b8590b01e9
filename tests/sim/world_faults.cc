// What is done to a simulated cluster that looks after itself.
#include "absl/strings/str_cat.h"
#include "proto/check.h"
#include "tests/sim/world.h"

namespace kvd::sim {

using shardctrler::Command;
using shardctrler::CommandKind;
using shardctrler::OperationKind;

void World::ScheduleFault() {
  if (fault_rate_ == 0) return;
  auto mean = static_cast<uint64_t>(1500 / fault_rate_);
  scheduler_.After(milliseconds(scheduler_.random().Between(50, 2 * mean)), [this] {
    if (!faulting_) return;
    Random& random = scheduler_.random();
    auto pick = random.Below(100);
    auto at = std::next(stores_.begin(), static_cast<ptrdiff_t>(random.Below(stores_.size())));
    NodeStore& store = *at->second;
    if (pick < 50) {
      bool all = random.Chance(0.1);
      for (auto& [id, s] : stores_) {
        if (!s->running() || (!all && s.get() != &store)) continue;
        s->Crash();
        ++report_.crashes;
        StartLater(id);
      }
    } else if (pick < 85) {
      CutSomething();
    } else if (store.running()) {
      store.process().loop->PauseUntil(scheduler_.now() + milliseconds(random.Between(50, 2500)));
    }
    ScheduleFault();
  });
}

void World::StartLater(StoreId id) {
  Random& random = scheduler_.random();
  auto down = random.Chance(0.3) ? random.Between(1, 20) : random.Between(10, 3000);
  scheduler_.After(milliseconds(down), [this, id] {
    NodeStore& store = *stores_.at(id);
    if (!store.running()) store.Start();
  });
}

// One store from all others or from one, both ways or one way, for a while.
void World::CutSomething() {
  Random& random = scheduler_.random();
  auto one = std::next(stores_.begin(), static_cast<ptrdiff_t>(random.Below(stores_.size())));
  bool all = random.Chance(0.5);
  auto other = std::next(stores_.begin(), static_cast<ptrdiff_t>(random.Below(stores_.size())));
  bool both = random.Chance(0.7);
  for (auto& [id, store] : stores_) {
    if (id == one->first || (!all && id != other->first)) continue;
    network_.Cut(one->first.value(), id.value());
    if (both) network_.Cut(id.value(), one->first.value());
  }
  ++report_.cuts;
  scheduler_.After(milliseconds(random.Between(100, 4000)), [this] { network_.MendAll(); });
}

void World::Heal() {
  network_.MendAll();
  network_.faults = NetworkFaults();
  for (auto& [id, store] : stores_) {
    if (!store->running()) store->Start();
  }
}

void World::ScheduleOperation() {
  scheduler_.After(milliseconds(operation_random_.Between(50, 800)), [this] {
    if (!working_) return;
    Operate();
    ScheduleOperation();
  });
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
  } else if (pick < 95 && stores_.size() > 3) {
    auto store = std::next(stores_.begin(), static_cast<ptrdiff_t>(random.Below(stores_.size())));
    command.kind = CommandKind::kSetStoreState;
    command.store = store->first;
    command.state =
        random.Chance(0.5) ? shardctrler::StoreState::kDraining : shardctrler::StoreState::kServing;
  } else {
    if (stores_.size() < static_cast<size_t>(options_.stores) + 3) AddStore();
    return;
  }
  Control(command);
}

// A scan at whichever store; what it gives is compared with what was written.
void World::ScheduleScan() {
  scheduler_.After(milliseconds(operation_random_.Between(100, 1500)), [this] {
    if (!working_ || clients_.empty()) return;
    ScheduleScan();
    auto at =
        std::next(stores_.begin(), static_cast<ptrdiff_t>(operation_random_.Below(stores_.size())));
    if (!at->second->running()) return;
    v1::ScanRequest request;
    request.set_reverse(operation_random_.Chance(0.4));
    if (operation_random_.Chance(0.5)) request.mutable_range()->set_start("k1");
    if (operation_random_.Chance(0.5)) request.mutable_range()->set_end("k4");
    request.set_page_bytes(1024);
    NodeProcess& process = at->second->process();
    auto scan = std::make_shared<WorldScan>();
    scan->range = {request.range().start(), request.range().end()};
    scan->reverse = request.reverse();
    process.loop->Post([this, scan, request, &process] {
      auto reader = std::make_shared<service::ScanReader>(process.loop.get(),
                                                          &process.node->dispatcher(), request);
      ReadOn(reader, scan);
    });
  });
}

void World::ReadOn(const std::shared_ptr<service::ScanReader>& reader,
                   const std::shared_ptr<WorldScan>& scan) {
  reader->Next([this, reader, scan](absl::StatusOr<v1::ScanResponse> page) {
    if (!page.ok()) return;
    Timestamp at(page->read_timestamp());
    KVD_CHECK(!scan->at || scan->at == at);
    scan->at = at;
    for (const auto& row : page->rows()) scan->rows.emplace_back(row.key(), row.version().value());
    if (!page->done()) return ReadOn(reader, scan);
    scans_.push_back(*scan);
    ++report_.scans;
  });
}

}  // namespace kvd::sim
