// What befalls the simulated world, and what clients ask of it.
#include "absl/strings/str_cat.h"
#include "tests/mapreduce/coordinator/world_port.h"

namespace kvd::jobs {

void JobsWorld::StartStore(size_t index) {
  Store& store = stores_[index];
  ++store.incarnation;
  store.up = true;
  store.asked = store.answered = 0;
  store.runner = std::make_unique<WorldRunner>(this, index);
  store.agent = std::make_unique<Agent>(
      store.id, store.incarnation, store.runner.get(),
      [this, index](const Poll& poll) { SendPoll(index, poll); }, AgentOptions());
}

void JobsWorld::KillStore(size_t index) {
  Store& store = stores_[index];
  if (!store.up) return;
  ++report_.kills;
  store.up = false;
  store.agent = nullptr;
  store.runner = nullptr;
  if (random_.Chance(0.4)) {
    ++report_.disks_lost;
    store.files.clear();
  }
  Later(milliseconds(random_.Chance(0.2) ? 25'000 : 3'000), [this, index] {
    if (!stores_[index].up) StartStore(index);
  });
}

void JobsWorld::Fault() {
  size_t index = random_.Below(stores_.size());
  Store& store = stores_[index];
  switch (random_.Below(5)) {
    case 0: return KillStore(index);
    case 1:
      ++report_.cuts;
      store.cut = true;
      return Later(milliseconds(random_.Chance(0.3) ? 20'000 : 4'000),
                   [this, index] { stores_[index].cut = false; });
    case 2:
      ++report_.slow;
      store.pace = random_.Chance(0.3) ? 0.02 : 0.1;
      return Later(milliseconds(15'000), [this, index] { stores_[index].pace = 1; });
    case 3:
      if (store.files.empty()) return;
      ++report_.damaged;
      std::next(store.files.begin(), static_cast<ptrdiff_t>(random_.Below(store.files.size())))
          ->second.damaged = true;
      return;
    default:
      if (store.files.empty() || !random_.Chance(0.3)) return;
      store.files.erase(store.files.begin());
      return;
  }
}

// Timestamps of writes rise, a little behind or ahead of the controller's.
void JobsWorld::Write() {
  static constexpr const char* kWords[] = {"ant", "bee", "cat", "dog", "eel", "fox", "gnu"};
  std::string key = absl::StrCat("k", 100 + random_.Below(120));
  Timestamp behind = TimestampFromMillis(random_.Below(300));
  data_clock_ = std::max(data_clock_ + 1, Clock() - behind.value());
  if (random_.Chance(0.1)) return data_.Erase(key, data_clock_);
  std::string value;
  for (uint64_t n = random_.Between(1, 4); n > 0; --n) {
    absl::StrAppend(&value, value.empty() ? "" : " ", kWords[random_.Below(7)]);
  }
  // Some seeds have many bad records, most have none.
  if (seed_ % 4 == 0 && random_.Chance(0.02)) value += " BAD";
  data_.Write(key, value, data_clock_);
}

void JobsWorld::GrantSafePoint() {
  Command grant;
  grant.kind = CommandKind::kGrant;
  grant.at = Clock() - TimestampFromMillis(1'000).value();
  Propose(leader_, term_, grant, [this](const absl::StatusOr<Result>& result) {
    if (result.ok()) data_.Forget(result->at);
  });
}

// Also splits and merges: a slice is a range, and reads the same wherever it lies.
void JobsWorld::MoveShard() {
  ++report_.moves;
  if (random_.Chance(0.3)) {
    std::string at = absl::StrCat("k", 100 + random_.Below(120));
    shards_[at] = std::prev(shards_.upper_bound(at))->second;
    return;
  }
  auto it = std::next(shards_.begin(), static_cast<ptrdiff_t>(random_.Below(shards_.size())));
  if (random_.Chance(0.3) && !it->first.empty()) {
    shards_.erase(it);
    return;
  }
  it->second = {StoreId(random_.Between(1, stores_.size()))};
  if (random_.Chance(0.5)) it->second.insert(StoreId(random_.Between(1, stores_.size())));
}

void JobsWorld::Heal() {
  faulting_ = false;
  for (size_t i = 0; i < stores_.size(); ++i) {
    stores_[i].cut = false;
    stores_[i].pace = 1;
    if (!stores_[i].up) StartStore(i);
  }
}

JobSpec JobsWorld::RandomSpec() {
  JobSpec spec;
  spec.name = "job";
  spec.map.kind = CodeKind::kBuiltin;
  spec.inputs = {{"k", "l"}};
  if (random_.Chance(0.3)) spec.inputs = {{"k180", "l"}, {"k", "k140"}};
  switch (random_.Below(4)) {
    case 0:
      spec.map.text = "words";
      spec.aggregator = Aggregator::kSum;
      break;
    case 1:
      spec.map.text = "invert";
      spec.order = Order::kTotal;
      break;
    case 2:
      spec.map.text = "words-of";
      spec.map.text = "invert";
      spec.reduce = {CodeKind::kBuiltin, "list", {}};
      break;
    default: spec.map.text = "identity"; break;
  }
  if (spec.map.text != "identity") spec.reducers = static_cast<uint32_t>(random_.Between(1, 5));
  switch (random_.Below(3)) {
    case 0: spec.output = {OutputKind::kReplace, absl::StrCat("out", random_.Below(4), "/")}; break;
    case 1: spec.output = {OutputKind::kJsonLines, ""}; break;
    default: break;
  }
  if (random_.Chance(0.15)) spec.limits.deadline_ms = random_.Between(2'000, 20'000);
  if (random_.Chance(0.7)) spec.limits.bad_records = random_.Below(8);
  if (random_.Chance(0.2)) spec.limits.concurrency = 2;
  if (random_.Chance(0.2)) spec.limits.attempts = 8;
  spec.priority = static_cast<uint32_t>(random_.Below(3));
  if (random_.Chance(0.1)) {
    spec.timestamp = Clock() - TimestampFromMillis(random_.Below(900)).value();
  }
  return spec;
}

void JobsWorld::SubmitOne() {
  Client client;
  client.spec = RandomSpec();
  client.nonce = random_.Next() | 1;
  client.cancels = random_.Chance(0.15);
  clients_.push_back(std::move(client));
  SubmitTo(clients_.size() - 1, 0);
}

// Until it is told which job it is; and some ask though they were told.
void JobsWorld::SubmitTo(size_t index, int tries) {
  if (tries >= 20 || !faulting_) return;
  size_t at = random_.Chance(0.9) ? leader_ : random_.Below(replicas_.size());
  Coordinator* coordinator = replicas_[at].coordinator.get();
  auto again = [this, index, tries] {
    Later(milliseconds(500), [this, index, tries] { SubmitTo(index, tries + 1); });
  };
  if (coordinator == nullptr) return again();
  const Client& client = clients_[index];
  if (client.gave_up) return;
  coordinator->Submit(client.spec, client.nonce,
                      [this, index, again](const absl::StatusOr<JobId>& job) {
                        Client& client = clients_[index];
                        if (!job.ok()) {
                          client.gave_up = !absl::IsUnavailable(job.status());
                          return client.gave_up ? (void)0 : again();
                        }
                        if (client.job && client.job != *job) Fail("one nonce gave two jobs");
                        client.job = *job;
                        if (!random_.Chance(0.3)) return;
                        ++report_.resubmitted;
                        again();
                      });
}

void JobsWorld::CancelOne() {
  for (Client& client : clients_) {
    if (!client.cancels || !client.job) continue;
    client.cancels = false;
    Coordinator* coordinator = replicas_[leader_].coordinator.get();
    if (coordinator == nullptr) return;
    cancelled_.insert(client.job);
    return coordinator->Cancel(client.job, "by hand", [](const absl::Status&) {});
  }
}

}  // namespace kvd::jobs
