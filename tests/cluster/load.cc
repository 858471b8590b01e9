#include "tests/cluster/load.h"

#include <chrono>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "raft/runtime/random.h"

namespace kvd {
namespace {

using Kind = check::Operation::Kind;

int64_t Nanos() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

RecordedLoad::RecordedLoad(std::vector<std::string> addresses, int clients, int keys) {
  for (int i = 0; i < clients; ++i) {
    threads_.emplace_back([this, i, addresses, keys] { Run(i, addresses, keys); });
  }
}

void RecordedLoad::Stop() {
  stop_ = true;
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

void RecordedLoad::Record(const std::string& key, check::Operation operation, bool write) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (write && operation.known) {
    int64_t now = operation.returned / 1'000'000;
    if (last_write_ms_ != 0) longest_gap_ms_ = std::max(longest_gap_ms_, now - last_write_ms_);
    last_write_ms_ = now;
  }
  history_[key].push_back(std::move(operation));
}

void RecordedLoad::Run(int number, std::vector<std::string> addresses, int keys) {
  ClientOptions options;
  options.addresses = std::move(addresses);
  options.deadline = std::chrono::seconds(8);
  auto client = *Client::Connect(options);
  Random random(static_cast<uint64_t>(number) + 1);
  for (uint64_t i = 0; !stop_; ++i) {
    std::string key = absl::StrCat("load", random.Below(static_cast<uint64_t>(keys)));
    check::Operation op;
    absl::Status status;
    op.called = Nanos();
    auto pick = random.Below(10);
    if (pick < 4) {
      op.kind = Kind::kGet;
      auto value = client->Get(key);
      status = value.status();
      if (value.ok() && value->has_value()) op.value = (*value)->bytes;
    } else if (pick < 6) {
      op.kind = Kind::kPut;
      op.argument = absl::StrCat(number, ".", i, ";");
      status = client->Put(key, op.argument).status();
    } else if (pick < 9) {
      op.kind = Kind::kAppend;
      op.argument = absl::StrCat(number, ".", i, ";");
      auto result = client->Append(key, op.argument);
      status = result.status();
      if (result.ok()) op.length = result->length;
    } else {
      op.kind = Kind::kDelete;
      auto result = client->Delete(key);
      status = result.status();
      if (result.ok()) op.flag = result->existed;
    }
    op.returned = Nanos();
    op.known = status.ok();
    bool write = op.kind != Kind::kGet;
    if (status.ok()) {
      ++acknowledged_;
    } else {
      ++unknown_;
      // A read without an answer, or a write that was never sent, says nothing.
      if (!write || !IsOutcomeUnknown(status)) continue;
    }
    Record(key, std::move(op), write);
  }
}

uint64_t RecordedLoad::Check() {
  uint64_t checked = 0;
  for (auto& [key, operations] : history_) {
    checked += operations.size();
    auto verdict = check::CheckLinearizable(operations);
    EXPECT_EQ(verdict, check::Verdict::kLinearizable)
        << key << " of " << operations.size() << " operations" << check::Explain(operations);
  }
  return checked;
}

}  // namespace kvd
