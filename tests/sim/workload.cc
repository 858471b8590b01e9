#include "tests/sim/workload.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "proto/check.h"
#include "proto/crc32c.h"
#include "proto/error.h"

namespace kvd::sim {

using check::Operation;
using Kind = Operation::Kind;

namespace {

client::SessionOptions SessionOptionsFor(const WorkloadOptions& options) {
  client::SessionOptions session;
  for (int i = 1; i <= options.stores; ++i) {
    session.addresses.push_back(AddressOf(static_cast<Node>(i)));
  }
  session.attempt_timeout = milliseconds(600);
  return session;
}

}  // namespace

SimClient::SimClient(Scheduler* scheduler, SimNetwork* network, Node node,
                     const WorkloadOptions& options)
    : scheduler_(scheduler),
      node_(node),
      options_(options),
      loop_(scheduler, 1.0, 0),
      caller_(network, &loop_, node),
      session_(&loop_, &caller_, SessionOptionsFor(options)) {}

void SimClient::Start() {
  timer_ = loop_.After(Duration(1), [this] { Next(); });
}

std::string SimClient::Unique() { return absl::StrCat(node_, ".", next_value_++, ";"); }

void SimClient::Next() {
  if (stopped_) return;
  Random& random = loop_.random();
  if (options_.multi_get_chance > 0 && random.Chance(options_.multi_get_chance))
    return GetSeveral();
  bool counter = random.Chance(0.15);
  std::string key =
      absl::StrCat(counter ? "n" : "k", random.Below(static_cast<uint64_t>(options_.keys)));
  Operation op;
  client::RequestItem item;
  auto pick = random.Below(100);
  if (pick < 35) {
    item.mutable_get()->set_key(key);
    auto* read = item.mutable_get()->mutable_read();
    if (random.Chance(0.3)) read->set_mode(v1::ReadOptions::MODE_READ_INDEX);
  } else if (counter) {
    op.kind = Kind::kIncrement;
    op.delta = static_cast<int64_t>(random.Below(10)) + 1;
    item.mutable_increment()->set_key(key);
    item.mutable_increment()->set_delta(op.delta);
  } else if (pick < 60) {
    op.kind = Kind::kPut;
    op.argument = Unique();
    auto* put = item.mutable_put();
    put->set_key(key);
    put->set_value(op.argument);
    put->set_crc32c(ValueChecksum(key, op.argument));
    put->set_has_crc32c(true);
  } else if (pick < 80) {
    op.kind = Kind::kAppend;
    op.argument = Unique();
    item.mutable_append()->set_key(key);
    item.mutable_append()->set_suffix(op.argument);
  } else if (pick < 88) {
    op.kind = Kind::kDelete;
    item.mutable_delete_()->set_key(key);
  } else {
    op.kind = Kind::kCompareAndPut;
    op.argument = Unique();
    op.expected = last_seen_[key];
    auto* put = item.mutable_put();
    put->set_key(key);
    put->set_value(op.argument);
    auto* condition = put->add_conditions();
    condition->set_key(key);
    if (op.expected) {
      condition->set_value_equals(*op.expected);
    } else {
      condition->set_absent(true);
    }
  }
  Run(key, std::move(op), std::move(item));
}

size_t SimClient::Begin(const std::string& key, Operation op) {
  op.called = scheduler_->now().time_since_epoch().count();
  op.known = false;
  auto& ops = history_[key];
  ops.push_back(std::move(op));
  ++operations_;
  busy_ = true;
  return ops.size() - 1;
}

void SimClient::Run(const std::string& key, Operation op, client::RequestItem item) {
  size_t position = Begin(key, std::move(op));
  session_.Submit(std::move(item), loop_.Now() + options_.deadline,
                  [this, key, position](const absl::StatusOr<client::ResponseItem>& answer) {
                    Finished(key, position, answer);
                  });
}

void SimClient::GetSeveral() {
  MultiGet get;
  get.began = scheduler_->now();
  std::map<std::string, size_t> positions;
  for (auto n = loop_.random().Between(2, 4); n > 0; --n) {
    std::string key = absl::StrCat("k", loop_.random().Below(static_cast<uint64_t>(options_.keys)));
    if (!positions.contains(key)) positions[key] = Begin(key, Operation());
  }
  client::RequestItem item;
  for (const auto& [key, position] : positions) {
    get.keys.push_back(key);
    item.mutable_multi_get()->add_keys(key);
  }
  session_.Submit(
      std::move(item), loop_.Now() + options_.deadline,
      [this, get, positions](const absl::StatusOr<client::ResponseItem>& answer) mutable {
        GotSeveral(std::move(get), positions, answer);
      });
}

void SimClient::GotSeveral(MultiGet get, const std::map<std::string, size_t>& positions,
                           const absl::StatusOr<client::ResponseItem>& answer) {
  busy_ = false;
  if (!answer.ok()) {
    Unanswered(answer.status());
    return Pause();
  }
  const v1::MultiGetResponse& response = answer->multi_get();
  KVD_CHECK(static_cast<size_t>(response.items_size()) == get.keys.size());
  get.at = Timestamp(response.read_timestamp());
  for (size_t i = 0; i < get.keys.size(); ++i) {
    const std::string& key = get.keys[i];
    const auto& item = response.items(static_cast<int>(i));
    Operation& op = history_[key][positions.at(key)];
    op.returned = scheduler_->now().time_since_epoch().count();
    op.known = true;
    if (!item.found()) continue;
    op.value = item.version().value();
    get.rows.emplace_back(key, item.version().value());
  }
  multi_gets_.push_back(std::move(get));
  Pause();
}

// Only the two promised ways of not knowing; a read that was not answered says nothing, and a write
// that was certainly not applied did not happen.
bool SimClient::Unanswered(const absl::Status& status) {
  ErrorInfo info = InfoOf(status);
  bool full = info.kind == ErrorKind::kDiskFull;
  bool unanswered = absl::IsDeadlineExceeded(status) || full;
  KVD_CHECK_MSG(unanswered || info.kind == ErrorKind::kOutcomeUnknown,
                std::string(status.ToString()));
  ++unknown_;
  if (full) ++refused_;
  return unanswered;
}

void SimClient::Pause() {
  auto pause = Duration(static_cast<int64_t>(
      loop_.random().Below(static_cast<uint64_t>(options_.pause_max.count()))));
  timer_ = loop_.After(pause, [this] { Next(); });
}

void SimClient::Finished(const std::string& key, size_t position,
                         const absl::StatusOr<client::ResponseItem>& answer) {
  busy_ = false;
  auto& ops = history_[key];
  Operation& op = ops[position];
  op.returned = scheduler_->now().time_since_epoch().count();
  if (answer.ok()) {
    op.known = true;
    const v1::WriteResponse& write = answer->write();
    switch (op.kind) {
      case Kind::kGet:
        if (answer->get().found()) op.value = answer->get().version().value();
        last_seen_[key] = op.value;
        break;
      case Kind::kPut: break;
      case Kind::kAppend: op.length = write.length(); break;
      case Kind::kDelete: op.flag = write.existed(); break;
      case Kind::kIncrement: op.counter = write.counter(); break;
      case Kind::kCompareAndPut: op.flag = write.applied(); break;
    }
    if (write.version() != 0)
      acknowledged_.push_back({key, Timestamp(write.version()), scheduler_->now()});
  } else if (Unanswered(answer.status())) {
    // Keep the record out: mark as a get that is not known, which fits everywhere.
    op = Operation{.kind = Kind::kGet, .known = false, .called = op.called};
  }
  Pause();
}

void SimClient::Read(const std::string& key) {
  client::RequestItem item;
  item.mutable_get()->set_key(key);
  Run(key, Operation(), std::move(item));
}

void SimClient::Probe(const std::function<void(bool)>& done) {
  ProbeUntil(scheduler_->now() + std::chrono::seconds(10), done);
}

// An outcome may be unknown even in a healthy cluster (the history was given up meanwhile): what
// counts is that some write is acknowledged in time.
void SimClient::ProbeUntil(MonotonicTime end, const std::function<void(bool)>& done) {
  client::RequestItem item;
  item.mutable_put()->set_key("probe");
  item.mutable_put()->set_value(Unique());
  std::string value = item.put().value();
  session_.Submit(
      std::move(item), loop_.Now() + (end - scheduler_->now()), [this, value, done, end](auto put) {
        if (!put.ok()) return scheduler_->now() < end ? ProbeUntil(end, done) : done(false);
        client::RequestItem get;
        get.mutable_get()->set_key("probe");
        session_.Submit(
            std::move(get), loop_.Now() + (end - scheduler_->now()), [value, done](auto got) {
              done(got.ok() && got->get().found() && got->get().version().value() == value);
            });
      });
}

std::map<std::string, std::vector<Operation>> SimClient::history() const { return history_; }

}  // namespace kvd::sim
