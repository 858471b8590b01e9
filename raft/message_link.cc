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
  Read();
}

void MessageLink::Flush() {
  if (open_ && !writing_ && outbox_ != nullptr && !outbox_->empty()) Write();
}

void MessageLink::Write() {
  outgoing_ = outbox_->Next();
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
  told_ = std::min(incoming_.received(), sent_);
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
