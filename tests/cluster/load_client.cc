#include "tests/cluster/load_client.h"

#include <thread>

#include "absl/strings/str_cat.h"

namespace kvd {

using Kind = check::Operation::Kind;

LoadClient::LoadClient(RecordedLoad* load, int number)
    : load_(load),
      number_(number),
      random_(load->options_.seed * 1000 + static_cast<uint64_t>(number)) {
  ClientOptions options;
  options.addresses = load->options_.addresses;
  options.deadline = load->options_.deadline;
  client_ = *Client::Connect(options);
}

void LoadClient::Run() {
  auto pause_us = static_cast<uint64_t>(load_->options_.pause_max.count()) * 1000;
  while (!load_->stop_) {
    RunOne();
    if (pause_us == 0) continue;
    std::this_thread::sleep_for(std::chrono::microseconds(random_.Below(pause_us)));
  }
}

void LoadClient::RunOne() {
  auto number = static_cast<int>(random_.Below(static_cast<uint64_t>(load_->options_.keys)));
  std::string key = load_->KeyOf(number);
  if (key[0] == 'n') return CounterOperation(key);
  if (key[0] == 'p') return PairOperation(key);
  TextOperation(key);
}

void LoadClient::TextOperation(const std::string& key) {
  auto pick = random_.Below(100);
  if (pick < 30) return Get(key);
  if (pick < 45) return Put(key);
  if (pick < 60) return Append(key);
  if (pick < 68) return Delete(key);
  if (pick < 72) return DeleteRange(key);
  if (pick < 84) return CompareAndPut(key);
  if (pick < 92 && load_->options_.mixed_batches) return Batch(key);
  if (pick < 96) return MultiGet({key, load_->KeyOf(1)});
  Scan(key);
}

void LoadClient::CounterOperation(const std::string& key) {
  auto pick = random_.Below(100);
  if (pick < 60) return Increment(key);
  if (pick < 70) return Delete(key);
  Get(key);
}

void LoadClient::PairOperation(const std::string& key) {
  if (random_.Below(100) < 50) return PutPair(key);
  ReadPair(key);
}

std::string LoadClient::Unique() {
  std::string value = absl::StrCat(number_, ".", next_value_++, ";");
  if (load_->options_.filler_bytes_max > 0 && random_.Chance(0.2)) {
    value.append(random_.Below(load_->options_.filler_bytes_max), '.');
  }
  return value;
}

check::Operation LoadClient::Begin(Kind kind, std::string argument) const {
  Op op;
  op.kind = kind;
  op.argument = std::move(argument);
  op.called = HistoryNow();
  return op;
}

bool LoadClient::End(Op* op, const absl::Status& status, bool write) {
  op->returned = HistoryNow();
  op->known = status.ok();
  if (status.ok()) {
    ++load_->acknowledged_;
    if (write) ++load_->writes_;
    return true;
  }
  // A read without an answer, or a write that was certainly not applied, says nothing.
  if (write && IsOutcomeUnknown(status)) {
    ++load_->unknown_;
    return true;
  }
  std::lock_guard<std::mutex> lock(load_->mutex_);
  ++load_->errors_[status.ToString()];
  return false;
}

void LoadClient::Saw(const std::string& key, const std::optional<Value>& value) {
  if (value.has_value()) {
    seen_[key] = *value;
  } else {
    seen_.erase(key);
  }
}

Condition LoadClient::AsLastSeen(const std::string& key, std::optional<std::string>* expected) {
  auto it = seen_.find(key);
  if (it == seen_.end()) return Condition::Absent(key);
  *expected = it->second.bytes;
  // No value is written twice, so the version says the same as the value.
  if (random_.Chance(0.5)) return Condition::VersionEquals(key, it->second.version);
  return Condition::ValueEquals(key, it->second.bytes);
}

void LoadClient::Get(const std::string& key) {
  ReadOptions read;
  if (random_.Chance(0.1)) read.consistency = Consistency::kSnapshot;  // as of now
  Op op = Begin(Kind::kGet);
  auto got = client_->Get(key, read);
  if (!End(&op, got.status(), false)) return;
  if (got->has_value()) op.value = (*got)->bytes;
  Saw(key, *got);
  load_->history_.Add(key, std::move(op));
}

void LoadClient::MultiGet(const std::vector<std::string>& keys) {
  Op op = Begin(Kind::kGet);
  auto got = client_->MultiGet(keys);
  if (!End(&op, got.status(), false)) return;
  for (size_t i = 0; i < keys.size(); ++i) {
    Op one = op;
    if ((*got)[i].has_value()) one.value = (*got)[i]->bytes;
    Saw(keys[i], (*got)[i]);
    load_->history_.Add(keys[i], std::move(one));
  }
}

void LoadClient::Scan(const std::string& key) {
  ScanOptions scan;
  scan.start = key.substr(0, key.find('.') + 1);  // every key that ever had this number
  scan.end = key + '\0';
  scan.reverse = random_.Chance(0.3);
  Op op = Begin(Kind::kGet);
  auto scanner = client_->Scan(scan);
  std::string last;
  while (scanner->Next()) {
    bool in_order = last.empty() || (scan.reverse ? scanner->key() < last : scanner->key() > last);
    if (!in_order)
      load_->history_.AddProblem(absl::StrCat("a scan gave ", scanner->key(), " after ", last));
    last = scanner->key();
    if (scanner->key() == key) op.value = scanner->value().bytes;
  }
  if (!End(&op, scanner->status(), false)) return;
  load_->history_.Add(key, std::move(op));
}

void LoadClient::Put(const std::string& key) {
  Op op = Begin(Kind::kPut, Unique());
  auto result = client_->Put(key, op.argument);
  if (End(&op, result.status(), true)) load_->history_.Add(key, std::move(op));
}

void LoadClient::Append(const std::string& key) {
  Op op = Begin(Kind::kAppend, Unique());
  auto result = client_->Append(key, op.argument);
  if (!End(&op, result.status(), true)) return;
  if (op.known) op.length = result->length;
  load_->history_.Add(key, std::move(op));
}

void LoadClient::Delete(const std::string& key) {
  Op op = Begin(Kind::kDelete);
  auto result = client_->Delete(key);
  if (!End(&op, result.status(), true)) return;
  if (op.known) op.flag = result->existed;
  load_->history_.Add(key, std::move(op));
}

void LoadClient::DeleteRange(const std::string& key) {
  Op op = Begin(Kind::kDelete);
  auto result = client_->DeleteRange(key, key + '\0');
  if (!End(&op, result.status(), true)) return;
  if (op.known) op.flag = result->deleted > 0;
  load_->history_.Add(key, std::move(op));
}

void LoadClient::Increment(const std::string& key) {
  Op op = Begin(Kind::kIncrement);
  op.delta = static_cast<int64_t>(random_.Below(10)) + 1;
  auto result = client_->Increment(key, op.delta);
  if (!End(&op, result.status(), true)) return;
  if (op.known) op.counter = result->counter;
  load_->history_.Add(key, std::move(op));
}

void LoadClient::CompareAndPut(const std::string& key) {
  WriteOptions options;
  Op op = Begin(Kind::kCompareAndPut, Unique());
  options.conditions = {AsLastSeen(key, &op.expected)};
  auto result = client_->Put(key, op.argument, options);
  if (!End(&op, result.status(), true)) return;
  if (op.known) op.flag = result->applied;
  load_->history_.Add(key, std::move(op));
}

void LoadClient::Batch(const std::string& key) {
  std::string counter = load_->KeyOf(1);
  bool conditional = random_.Chance(0.5);
  Op put = Begin(conditional ? Kind::kCompareAndPut : Kind::kPut, Unique());
  Op increment = Begin(Kind::kIncrement);
  increment.delta = 1;
  WriteOptions options;
  if (conditional) options.conditions = {AsLastSeen(key, &put.expected)};
  auto add = Operation::Increment(counter, 1);
  auto result = client_->Batch({Operation::Put(key, put.argument), add}, options, {add});
  if (!End(&put, result.status(), true)) return;
  increment.returned = put.returned;
  increment.known = put.known;
  if (put.known) {
    put.flag = result->conditions_held;
    increment.counter = result->items.back().counter;
  }
  load_->history_.Add(key, std::move(put));
  load_->history_.Add(counter, std::move(increment));
}

void LoadClient::PutPair(const std::string& key) {
  Op op = Begin(Kind::kPut, Unique());
  auto result = client_->Batch(
      {Operation::Put(key + ".a", op.argument), Operation::Put(key + ".b", op.argument)});
  if (!End(&op, result.status(), true)) return;
  load_->history_.Add(key + ".a", op);
  load_->history_.Add(key + ".b", std::move(op));
}

void LoadClient::ReadPair(const std::string& key) {
  Op op = Begin(Kind::kGet);
  auto got = client_->MultiGet({key + ".a", key + ".b"});
  if (!End(&op, got.status(), false)) return;
  auto bytes = [&](size_t i) {
    return (*got)[i].has_value() ? std::optional((*got)[i]->bytes) : std::nullopt;
  };
  if (bytes(0) != bytes(1)) {
    load_->history_.AddProblem(absl::StrCat("pair ", key, " was read half written: '",
                                            bytes(0).value_or("none"), "' and '",
                                            bytes(1).value_or("none"), "'"));
  }
  op.value = bytes(0);
  load_->history_.Add(key + ".a", op);
  op.value = bytes(1);
  load_->history_.Add(key + ".b", std::move(op));
}

}  // namespace kvd
