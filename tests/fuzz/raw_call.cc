#include "tests/fuzz/raw_call.h"

namespace kvd::fuzz {

void RawCall::Start(CqLoop* loop, const std::shared_ptr<grpc::Channel>& channel,
                    const std::string& method, std::deque<std::string> messages, Duration limit) {
  messages_ = std::move(messages);
  context_.set_deadline(std::chrono::system_clock::now() + limit);
  stream_ = grpc::GenericStub(channel).PrepareCall(&context_, method, loop->queue());
  stream_->StartCall(Tag([this](bool) {
    Write();
    Read();
  }));
}

void RawCall::Write() {
  if (messages_.empty()) return stream_->WritesDone(Tag([](bool) {}));
  grpc::Slice slice(messages_.front());
  messages_.pop_front();
  sent_ = grpc::ByteBuffer(&slice, 1);
  stream_->Write(sent_, Tag([this](bool ok) {
                   if (ok) Write();
                 }));
}

void RawCall::Read() {
  stream_->Read(&received_, Tag([this](bool ok) {
    if (ok) return Read();
    stream_->Finish(&status_, Tag([this](bool) { ended_(); }));
  }));
}

}  // namespace kvd::fuzz
