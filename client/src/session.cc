#include "client/src/session.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "client/src/session_call.h"
#include "proto/check.h"
#include "proto/error.h"
#include "proto/limits.h"

namespace kvd::client {
namespace {

// Whether the answer is of the request's kind: only then does it say what became of it.
bool Answers(const RequestItem& request, const ResponseItem& answer) {
  switch (request.request_case()) {
    case RequestItem::kGet: return answer.has_get();
    case RequestItem::kMultiGet: return answer.has_multi_get();
    case RequestItem::kScan: return answer.has_scan();
    case RequestItem::kDeleteRange: return answer.has_delete_range();
    case RequestItem::kBatch: return answer.has_batch();
    case RequestItem::kLocate: return answer.has_locate();
    default: return answer.has_write();
  }
}

}  // namespace

Session::Session(Loop* loop, Network* network, const SessionOptions& options)
    : loop_(loop),
      network_(network),
      options_(options),
      client_id_(loop->random().Next() | 1),
      cluster_(options.cluster),
      addresses_(options.addresses) {
  KVD_CHECK(!addresses_.empty());
  next_address_ = loop_->random().Below(addresses_.size());
}

Session::~Session() = default;

const std::string& Session::NextAddress() {
  next_address_ = (next_address_ + 1) % addresses_.size();
  return addresses_[next_address_];
}

void Session::NoteLeader(const std::string& address) {
  if (address.empty()) return;
  leader_ = address;
  NoteAddress(address);
}

void Session::Submit(RequestItem item, MonotonicTime deadline, Callback callback) {
  size_t bytes = item.ByteSizeLong();
  if (bytes > kMessageBytesMax) {
    return callback(LimitError("request", kRequestBytesMax, bytes, "bytes"));
  }
  uint64_t id = next_call_++;
  auto call = std::make_unique<Call>();
  call->read = IsRead(item);
  call->item = std::move(item);
  call->item.set_id(id);
  call->deadline = deadline;
  call->callback = std::move(callback);
  call->deadline_timer = loop_->After(deadline - loop_->Now(), [this, id] { OnDeadline(id); });
  bool fresh = loop_->Now() - token_at_ < options_.token_age_max;
  bool write = !call->read;
  calls_.emplace(id, std::move(call));
  if (write && !fresh) {
    wait_for_token_.push_back(id);
    return FetchTokenFor(id);
  }
  Send(id);
}

void Session::Send(uint64_t id) {
  Call& call = *calls_.at(id);
  v1::RequestHeader* header = MutableHeaderOf(&call.item);
  header->set_cluster_id(cluster_.value());
  ++call.attempt;
  if (!call.read) {
    v1::Writer* writer = header->mutable_writer();
    if (call.attempt == 1) {
      writer->set_client_id(client_id_.value());
      writer->set_sequence(next_sequence_++);
      // Above every write this client knows of, and below whatever this one will become.
      writer->set_token(token_.value());
    }
    writer->set_attempt(call.attempt);
  }
  call.address = AddressFor(call);
  call.waiting_answer = true;
  Duration timeout = std::min(options_.attempt_timeout, call.deadline - loop_->Now());
  network_->Call(call.address, call.item, timeout,
                 [this, id, attempt = call.attempt,
                  alive = std::weak_ptr<bool>(alive_)](absl::StatusOr<ResponseItem> answer) {
                   if (!alive.expired()) OnAnswer(id, attempt, std::move(answer));
                 });
}

void Session::OnAnswer(uint64_t id, uint32_t attempt, absl::StatusOr<ResponseItem> answer) {
  auto it = calls_.find(id);
  if (it == calls_.end() || it->second->attempt != attempt || !it->second->waiting_answer) return;
  Call& call = *it->second;
  call.waiting_answer = false;
  if (answer.ok() && !answer->has_error() && !Answers(call.item, *answer)) {
    answer = OutcomeUnknownError("the answer is of another kind than the request");
  }
  if (!answer.ok()) {
    // The store did not answer: another may.
    if (leader_ == call.address) leader_.clear();
    ranges_.NoteLost(call.address);
    if (!absl::IsUnavailable(answer.status())) call.maybe_applied = true;
    call.last_error = absl::StrCat(call.address, ": ", std::string(answer.status().message()));
    return RetryAfter(id, call, Backoff(call));
  }
  if (answer->has_error()) {
    return OnError(id, call, ParseStatus(answer->error().SerializeAsString()));
  }
  const v1::ResponseHeader& header = *HeaderOf(*answer);
  if (!cluster_) cluster_ = ClusterId(header.cluster_id());
  NoteToken(Timestamp(header.token()), /*fresh=*/!call.read || IsLinearizable(call.item));
  NoteLeader(header.leader_address());
  NoteGroup(call, GroupId(header.group_id()), header.leader_address());
  Finish(id, std::move(answer));
}

void Session::OnError(uint64_t id, Call& call, const absl::Status& error) {
  ErrorInfo info = InfoOf(error);
  call.last_error = absl::StrCat(call.address, ": ", std::string(error.message()));
  switch (info.kind) {
    case ErrorKind::kNotLeader:
    case ErrorKind::kShardMoved: {
      // Refused before anything was logged. A fresh hint is followed at once, but not in circles.
      bool hint = !info.leader_address.empty() && info.leader_address != call.address;
      ranges_.NoteNotLeader(call.group, call.address);
      if (hint) {
        NoteLeader(info.leader_address);
        call.hint = info.leader_address;
      } else if (leader_ == call.address) {
        leader_.clear();
      }
      if (info.kind == ErrorKind::kShardMoved) {
        ranges_.Forget(RoutingKey(call.item));
        ranges_.NoteLeader(info.group, info.leader_address);
      } else {
        ranges_.NoteLeader(call.group, info.leader_address);
      }
      bool at_once = hint && !call.followed_hint;
      call.followed_hint = at_once;
      return RetryAfter(id, call, at_once ? Duration::zero() : Backoff(call));
    }
    case ErrorKind::kBusy:
      return RetryAfter(id, call,
                        std::max<Duration>(milliseconds(info.retry_after_ms), Backoff(call)));
    case ErrorKind::kOutcomeUnknown:
      call.maybe_applied = true;
      if (leader_ == call.address) leader_.clear();
      ranges_.NoteLost(call.address);
      return RetryAfter(id, call, Backoff(call));
    case ErrorKind::kSessionExpired:
      NoteToken(info.fresh_token, /*fresh=*/true);
      if (call.maybe_applied) return Finish(id, OutcomeUnknownError(std::string(error.message())));
      // Nothing of this write can be anywhere: start anew above the safe point.
      MutableHeaderOf(&call.item)->mutable_writer()->set_token(info.fresh_token.value());
      return RetryAfter(id, call, Duration::zero());
    case ErrorKind::kCorruption:
    case ErrorKind::kDiskFull:  // somebody has to make room first
    case ErrorKind::kLimitExceeded:
    case ErrorKind::kWrongCluster:
    case ErrorKind::kConflict:
    case ErrorKind::kNone: break;
  }
  if (absl::IsUnavailable(error)) {
    // It may not know where the key is; another one may.
    if (leader_ == call.address) leader_.clear();
    return RetryAfter(id, call, Backoff(call));
  }
  // What applying gave leaves a trace for other attempts to find, and has no further detail.
  bool verdict =
      info.kind == ErrorKind::kNone && (error.code() == absl::StatusCode::kInvalidArgument ||
                                        error.code() == absl::StatusCode::kFailedPrecondition ||
                                        error.code() == absl::StatusCode::kOutOfRange);
  // A refusal says nothing of an attempt that is still on its way.
  if (!verdict && call.maybe_applied && !call.read) {
    return Finish(id, OutcomeUnknownError(std::string(error.message())));
  }
  Finish(id, error);
}

Duration Session::Backoff(const Call& call) {
  // Doubles up to the maximum, with jitter, so that clients do not return in step.
  auto ceiling = options_.backoff_min * (int64_t{1} << std::min<uint32_t>(call.attempt, 16));
  auto bounded = static_cast<uint64_t>(std::min<Duration>(ceiling, options_.backoff_max).count());
  return Duration(static_cast<int64_t>(loop_->random().Between(bounded / 2, bounded)));
}

void Session::RetryAfter(uint64_t id, Call& call, Duration delay) {
  if (loop_->Now() + delay >= call.deadline) return;  // the deadline's timer ends it
  call.retry_timer = loop_->After(delay, [this, id] {
    if (calls_.contains(id)) Send(id);
  });
}

void Session::OnDeadline(uint64_t id) {
  auto it = calls_.find(id);
  if (it == calls_.end()) return;
  Finish(id, Unanswered(*it->second));
}

void Session::FailAll() {
  while (!calls_.empty()) OnDeadline(calls_.begin()->first);
}

absl::Status Session::Unanswered(const Call& call) const {
  // It waited for a token: what kept that from coming is the reason.
  if (call.attempt == 0) return UnsentWrite(call);
  std::string why =
      absl::StrCat("no answer after ", call.attempt, call.attempt == 1 ? " attempt" : " attempts");
  if (!call.last_error.empty()) absl::StrAppend(&why, "; last: ", call.last_error);
  if (!call.read && (call.maybe_applied || call.waiting_answer)) return OutcomeUnknownError(why);
  return absl::DeadlineExceededError(why);
}

void Session::Finish(uint64_t id, absl::StatusOr<ResponseItem> result) {
  auto node = calls_.extract(id);
  // Not while one of its timers runs.
  std::shared_ptr<Call> call(std::move(node.mapped()));
  loop_->Post([call] {});
  call->callback(std::move(result));
}

}  // namespace kvd::client
