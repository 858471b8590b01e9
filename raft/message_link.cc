#include "raft/message_link.h"

#include <algorithm>
#include <utility>

#include "raft/core/types.h"
#include "raft/wire.h"

namespace kvd::raft {

namespace {

// A batch that comes so soon after its read was begun was there already, and more may be.
constexpr Duration kAtOnce = std::chrono::microseconds(100);
// How long a read waits for a batch to be sent, when nothing is expected.
constexpr Duration kPutOffMax = milliseconds(1);
// A batch of so many bytes is announced: it may hold up the answers behind it for long.
constexpr size_t kAnnouncedBytesMin = 1 << 20;
// How often a stream that is not sent on, or not yet, looks whether it is.
constexpr Duration kBeatWithoutQueue = milliseconds(300);

bool IsAnswer(uint32_t type) {
  switch (static_cast<MessageType>(type)) {
    case MessageType::kAppendReply:
    case MessageType::kHeartbeatReply:
    case MessageType::kVoteReply:
    case MessageType::kPreVoteReply:
    case MessageType::kRepairReply: return true;
    default: return false;
  }
}

bool AsksForAnswer(const internal::v1::MessageBatch& batch) {
  return std::any_of(batch.messages().begin(), batch.messages().end(),
                     [](const internal::v1::Message& m) { return !IsAnswer(m.type()); });
}

}  // namespace

void MessageLink::Begin(grpc::internal::AsyncReaderInterface<Batch>* reader,
                        grpc::internal::AsyncWriterInterface<Batch>* writer) {
  reader_ = reader;
  writer_ = writer;
  open_ = true;
  written_at_ = loop_->Now();
  Watch();
  Read();
}

void MessageLink::Flush() {
  if (open_ && !writing_ && queue_ != nullptr && !queue_->outbox.empty()) Write();
}

void MessageLink::Write() {
  MessageOutbox& outbox = queue_->outbox;
  size_t next_bytes = outbox.NextBytes();
  bool announces = next_bytes >= kAnnouncedBytesMin && !announced_;
  outgoing_.Clear();
  if (announces) {
    outgoing_.set_next_bytes(next_bytes);
  } else if (!outbox.empty()) {
    outgoing_ = outbox.Next();
  }
  announced_ = announces;
  written_at_ = loop_->Now();
  unanswered_.push_back({written_at_, announces ? 0 : next_bytes});
  if (sent_++ == 0) AddGreeting(&outgoing_);
  outgoing_.set_received(received_);
  outgoing_.set_checksum(Checksum(outgoing_));
  writing_ = true;
  writer_->Write(outgoing_,
                 CqOnce::Make([self = shared_from_this()](bool ok) { self->OnWritten(ok); }));
  if (put_off_ != nullptr) Read();
}

void MessageLink::OnWritten(bool ok) {
  writing_ = false;
  if (!ok) End("");
  if (!open_) return EndIfIdle();
  Flush();
}

void MessageLink::NoteReceived(uint64_t received) {
  if (told_ >= std::min(received, sent_)) return;
  answered_at_ = loop_->Now();
  for (; told_ < std::min(received, sent_); ++told_) unanswered_.pop_front();
  if (queue_ != nullptr) queue_->patience.Answered(answered_at_);
}

// What was sent first is through when it is, and the answer comes behind what the peer is sending.
bool MessageLink::WaitedTooLong(MonotonicTime now) {
  if (unanswered_.empty()) return false;
  size_t bytes = unanswered_.front().bytes + expected_bytes_;
  StreamPatience& patience = queue_->patience;
  if (now - std::max(unanswered_.front().at, answered_at_) <= patience.For(bytes)) return false;
  patience.RanOut(bytes, now);
  return true;
}

void MessageLink::Watch() {
  if (!open_) return;
  Duration beat = queue_ == nullptr ? kBeatWithoutQueue : queue_->patience.beat();
  watch_ = loop_->After(beat, [link = weak_from_this()] {
    if (auto self = link.lock()) self->Watch();
  });
  auto now = loop_->Now();
  // Who was away finds answers behind this call.
  bool late = now - watched_at_ > 2 * beat;
  watched_at_ = now;
  if (queue_ == nullptr) return;
  if (!late && WaitedTooLong(now)) return End("nothing was answered for too long");
  if (!writing_ && now - written_at_ >= beat) Write();
}

void MessageLink::Read() {
  auto self = shared_from_this();
  put_off_.reset();
  latest_read_.reset();
  incoming_.Clear();
  reading_ = true;
  read_began_ = loop_->Now();
  reader_->Read(&incoming_, CqOnce::Make([self](bool ok) { self->OnRead(ok); }));
}

void MessageLink::OnRead(bool ok) {
  reading_ = false;
  if (!ok) End("");
  if (!open_) return EndIfIdle();
  std::string why = Refusal(incoming_);
  if (why.empty() && incoming_.checksum() != Checksum(incoming_)) {
    ++*damaged_;
    why = "a batch was damaged on its way";
  }
  if (!why.empty()) return End(std::move(why));
  ++received_;
  NoteReceived(incoming_.received());
  expected_bytes_ = incoming_.next_bytes();
  bool more = loop_->Now() - read_began_ < kAtOnce || Unanswered() > 0;
  bool asked = AsksForAnswer(incoming_);
  why = Take(&incoming_);
  if (!why.empty()) return End(std::move(why));
  if (!open_) return EndIfIdle();
  if (more || put_off_no_read_) return Read();
  ReadWhenAnswered(asked);
}

void MessageLink::ReadWhenAnswered(bool asked) {
  put_off_ = shared_from_this();
  auto read = [link = weak_from_this()] {
    auto self = link.lock();
    if (self != nullptr && self->put_off_ != nullptr) self->Read();
  };
  if (asked) {
    loop_->Post(read);  // behind the turn, which the messages have asked for
  } else {
    latest_read_ = loop_->After(kPutOffMax, read);
  }
}

void MessageLink::PutOffNoRead() {
  put_off_no_read_ = true;
  if (put_off_ != nullptr) Read();
}

void MessageLink::End(std::string why) {
  auto self = shared_from_this();
  if (open_) {
    open_ = false;
    why_ = std::move(why);
    put_off_.reset();
    latest_read_.reset();
    watch_.reset();
    if (reading_ || writing_) Cancel();
  }
  EndIfIdle();
}

void MessageLink::EndIfIdle() {
  if (open_ || ended_ || reading_ || writing_) return;
  ended_ = true;
  Ended(why_);
}

}  // namespace kvd::raft
