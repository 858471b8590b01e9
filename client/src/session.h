// The client's decisions: which store to ask, when to try again, and what an answer or its absence
// means, such that a retry never executes a write twice and an unknown outcome is never called a
// failure (design, 6). Reactive: the same code runs on a thread over gRPC and in the simulator.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/src/items.h"
#include "client/src/range_cache.h"
#include "proto/ids.h"
#include "proto/timestamp.h"
#include "raft/runtime/loop.h"

namespace kvd::client {

// The way to the stores. Calls back once. UNAVAILABLE: certainly not executed; any other error: not
// known.
class Network {
 public:
  virtual ~Network() = default;
  virtual void Call(const std::string& address, RequestItem item, Duration timeout,
                    std::function<void(absl::StatusOr<ResponseItem>)> done) = 0;
};

struct SessionOptions {
  std::vector<std::string> addresses;  // at least one, host:port
  ClusterId cluster;                   // 0: whichever answers first
  // One attempt waits this long for its answer before another store is tried.
  Duration attempt_timeout = milliseconds(2000);
  Duration backoff_min = milliseconds(10);
  Duration backoff_max = milliseconds(500);
  // A write whose token would be older than this fetches a fresh one first: should its first
  // attempt get lost, its retries can still be told from new writes.
  Duration token_age_max = std::chrono::seconds(60);
  // While it is in use, it learns so often which stores there are.
  Duration stores_age_max = std::chrono::seconds(10);
};

class Session {
 public:
  using Callback = std::function<void(absl::StatusOr<ResponseItem>)>;

  // Both outlive the session. Draws its client id from the loop's randomness.
  Session(Loop* loop, Network* network, const SessionOptions& options);
  ~Session();

  // Executes a request, exactly once if it is a write, and calls back by `deadline`.
  // UNKNOWN (OutcomeUnknown): a write that may or may not have been applied, now or later.
  // DEADLINE_EXCEEDED: a read, or a write that was never sent. Fills the request's header.
  void Submit(RequestItem item, MonotonicTime deadline, Callback callback);

  // Ends all calls, as if their deadlines had passed.
  void FailAll();

  // Highest timestamp seen in any answer.
  Timestamp token() const { return token_; }
  ClientId client_id() const { return client_id_; }
  ClusterId cluster() const { return cluster_; }
  // The store believed to lead.
  const std::string& leader() const { return leader_; }
  // A store to try when the believed leader did not answer.
  const std::string& NextAddress();
  void NoteLeader(const std::string& address);
  // `fresh`: it is at or above the group's clock when the call was made.
  void NoteToken(Timestamp token, bool fresh);
  // Where the keys are, as far as this client was told.
  const RangeCache& ranges() const { return ranges_; }
  void NoteLocated(const v1::LocateResponse& located);
  size_t in_flight() const { return calls_.size(); }

 private:
  struct Call;

  // session_token.cc
  void FetchTokenFor(uint64_t write);
  void RefuseWaiting(GroupId group, uint64_t write, const absl::Status& why);
  void FetchTokens();
  void SendWaiting();
  absl::Status UnsentWrite(const Call& call) const;
  std::string AddressFor(Call& call);
  void Locate(const std::string& key);
  bool StoresAreOld() const { return loop_->Now() - stores_at_ >= options_.stores_age_max; }
  void NoteAddress(const std::string& address);
  void NoteGroup(const Call& call, GroupId group, const std::string& leader);
  void Send(uint64_t id);
  void OnAnswer(uint64_t id, uint32_t attempt, absl::StatusOr<ResponseItem> answer);
  // What to do about an error; true if the call goes on.
  void OnError(uint64_t id, Call& call, const absl::Status& error);
  void RetryAfter(uint64_t id, Call& call, Duration delay);
  void OnDeadline(uint64_t id);
  void Finish(uint64_t id, absl::StatusOr<ResponseItem> result);
  absl::Status Unanswered(const Call& call) const;
  Duration Backoff(const Call& call);

  Loop* const loop_;
  Network* const network_;
  const SessionOptions options_;
  const ClientId client_id_;
  ClusterId cluster_;
  uint64_t next_sequence_ = 1;
  uint64_t next_call_ = 1;
  Timestamp token_;
  MonotonicTime token_at_ = kLongAgo;
  // The reads that fetch one, by the group that was meant; 0: not known which.
  std::map<GroupId, uint64_t> token_fetches_;
  std::vector<uint64_t> wait_for_token_;  // writes held until there is one
  std::string leader_;
  RangeCache ranges_;
  bool locating_ = false;
  size_t locates_ = 0;                  // sent to whichever store's turn it was
  std::vector<std::string> addresses_;  // given, and then those learnt
  MonotonicTime stores_at_ = kLongAgo;  // when they were asked for
  size_t next_address_ = 0;
  std::map<uint64_t, std::unique_ptr<Call>> calls_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace kvd::client
