#include "tests/cluster/load.h"

#include <algorithm>
#include <chrono>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/cluster/load_client.h"

namespace kvd {

using Kind = check::Operation::Kind;

int64_t HistoryNow() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

void History::Add(const std::string& key, check::Operation operation) {
  bool acknowledged_write = operation.kind != Kind::kGet && operation.known;
  if (acknowledged_write) MarkWrite(operation.returned);
  ++operations_;
  std::lock_guard<std::mutex> lock(mutex_);
  by_key_[key].push_back(std::move(operation));
}

void History::MarkWrite(int64_t at_ns) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (last_write_ns_ != 0) longest_gap_ns_ = std::max(longest_gap_ns_, at_ns - last_write_ns_);
  last_write_ns_ = std::max(last_write_ns_, at_ns);
}

int64_t History::longest_gap_ms() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return longest_gap_ns_ / 1'000'000;
}

void History::AddProblem(std::string problem) {
  std::lock_guard<std::mutex> lock(mutex_);
  problems_.push_back(std::move(problem));
}

size_t History::Operations(const std::string& key) const {
  std::lock_guard<std::mutex> lock(mutex_);
  auto it = by_key_.find(key);
  return it == by_key_.end() ? 0 : it->second.size();
}

std::vector<std::string> History::Keys() const {
  std::lock_guard<std::mutex> lock(mutex_);
  std::vector<std::string> keys;
  for (const auto& [key, operations] : by_key_) keys.push_back(key);
  return keys;
}

std::vector<std::string> History::Problems() const {
  std::lock_guard<std::mutex> lock(mutex_);
  std::vector<std::string> problems = problems_;
  for (const auto& [key, operations] : by_key_) {
    check::Verdict verdict = check::CheckLinearizable(operations);
    if (verdict == check::Verdict::kLinearizable) continue;
    bool undecided = verdict == check::Verdict::kUndecided;
    problems.push_back(absl::StrCat("key ", key, ": its history of ", operations.size(),
                                    " operations is ",
                                    undecided ? "too tangled to be decided" : "not linearizable",
                                    undecided ? "" : check::Explain(operations)));
  }
  return problems;
}

RecordedLoad::RecordedLoad(const LoadOptions& options)
    : options_(options), generations_(static_cast<size_t>(options.keys), 0) {
  for (int i = 0; i < options.clients; ++i) {
    threads_.emplace_back([this, i] { LoadClient(this, i).Run(); });
  }
}

void RecordedLoad::Stop() {
  stop_ = true;
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

std::string RecordedLoad::KeyOf(int number) {
  static constexpr const char* kKinds[] = {"t", "n", "t", "p"};
  std::lock_guard<std::mutex> lock(mutex_);
  int& generation = generations_[static_cast<size_t>(number)];
  auto name = [&] { return absl::StrCat(kKinds[number % 4], number, ".", generation); };
  // Of a pair the history is under its halves' names.
  const char* suffix = number % 4 == 3 ? ".a" : "";
  if (history_.Operations(name() + suffix) >= options_.operations_per_key) ++generation;
  return name();
}

absl::Status RecordedLoad::ReadEverything() {
  ClientOptions options;
  options.addresses = options_.addresses;
  options.deadline = std::chrono::seconds(20);
  auto client = Client::Connect(options);
  if (!client.ok()) return client.status();
  for (const std::string& key : history_.Keys()) {
    check::Operation op;
    op.called = HistoryNow();
    auto value = (*client)->Get(key);
    if (!value.ok()) return value.status();
    if (value->has_value()) op.value = (*value)->bytes;
    op.returned = HistoryNow();
    history_.Add(key, std::move(op));
  }
  return absl::OkStatus();
}

uint64_t RecordedLoad::Check() {
  absl::Status read = ReadEverything();
  EXPECT_TRUE(read.ok()) << read;
  for (const std::string& problem : Problems()) ADD_FAILURE() << problem;
  return history_.operations();
}

std::map<std::string, uint64_t> RecordedLoad::Errors() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return errors_;
}

}  // namespace kvd
