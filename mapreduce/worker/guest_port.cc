#include "mapreduce/worker/guest_port.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

namespace kvd::mapreduce {
namespace {

uint32_t LengthIn(const char* header) { return Reader(std::string_view(header, 4)).Fixed32(); }

void WriteAll(std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t n = write(wire::kSocketFd, bytes.data(), bytes.size());
    if (n > 0) {
      bytes.remove_prefix(static_cast<size_t>(n));
    } else if (n < 0 && errno != EINTR) {
      _exit(kBadStore);
    }
  }
}

}  // namespace

wire::FrameType GuestPort::Read(std::string_view* payload) {
  in_size_ = 0;
  Fill(wire::kHeaderBytes);
  size_t length = LengthIn(in_.data());
  if (length > wire::kFrameBytesMax) _exit(kBadStore);
  Fill(wire::kHeaderBytes + length);
  // The store sends nothing more until it was answered.
  if (in_size_ != wire::kHeaderBytes + length) _exit(kBadStore);
  *payload = std::string_view(in_.data() + wire::kHeaderBytes, length);
  return static_cast<wire::FrameType>(in_[4]);
}

void GuestPort::Fill(size_t bytes) {
  if (in_.size() < bytes) in_.resize(std::max(bytes, 2 * wire::kBatchBytes));
  while (in_size_ < bytes) {
    ssize_t n = read(wire::kSocketFd, in_.data() + in_size_, in_.size() - in_size_);
    if (n > 0) {
      in_size_ += static_cast<size_t>(n);
    } else if (n == 0) {
      _exit(in_size_ == 0 ? kOk : kBadStore);
    } else if (errno != EINTR) {
      _exit(kBadStore);
    }
  }
}

const char* GuestPort::Refuses(std::string_view key, std::string_view value) {
  if (key.size() > kKeyBytesMax) return "the emitted key is longer than 4096 B";
  if (value.size() > kValueBytesMax) return "the emitted value is longer than 8 MiB";
  return nullptr;
}

void GuestPort::BeginEmits() {
  emits_at_ = wire::BeginFrame(wire::FrameType::kEmits, &out_);
  in_emits_ = true;
}

void GuestPort::EndEmits() {
  if (!in_emits_) return;
  wire::EndFrame(emits_at_, &out_);
  in_emits_ = false;
}

void GuestPort::Flush() {
  EndEmits();
  WriteAll(out_);
  out_.clear();
}

bool GuestPort::Count(std::string_view counter, int64_t delta) {
  auto at = counts_.find(counter);
  if (at == counts_.end()) {
    if (counter.empty() || counter.size() > wire::kNameBytesMax ||
        counts_.size() >= wire::kCountersMax)
      return false;
    at = counts_.emplace(counter, 0).first;
  }
  // Wraps rather than traps: the sum is the user's.
  at->second =
      static_cast<int64_t>(static_cast<uint64_t>(at->second) + static_cast<uint64_t>(delta));
  return true;
}

void GuestPort::AppendCounts() {
  bool any = false;
  size_t start = 0;
  for (auto& [name, delta] : counts_) {
    if (delta == 0) continue;
    if (!any) start = wire::BeginFrame(wire::FrameType::kCounts, &out_);
    any = true;
    Writer w(&out_);
    w.Bytes(name);
    w.SignedVarint(delta);
    // The name stays: so many different ones are allowed in the whole task.
    delta = 0;
  }
  if (any) wire::EndFrame(start, &out_);
}

void GuestPort::Log(std::string_view text) {
  EndEmits();
  size_t start = wire::BeginFrame(wire::FrameType::kLog, &out_);
  out_.append(text.substr(0, wire::kLogLineBytesMax));
  wire::EndFrame(start, &out_);
  if (out_.size() >= wire::kBatchBytes) Flush();
}

void GuestPort::Answer(wire::FrameType type, std::string_view payload) {
  SetCurrent(0);
  EndEmits();
  AppendCounts();
  size_t start = wire::BeginFrame(type, &out_);
  out_.append(payload);
  wire::EndFrame(start, &out_);
  Flush();
}

void GuestPort::Fail(const wire::Failure& failure) {
  EndEmits();
  size_t start = wire::BeginFrame(wire::FrameType::kFailure, &out_);
  failure.Encode(&out_);
  wire::EndFrame(start, &out_);
  // The slot keeps the record that it failed at.
  Flush();
}

wire::Slot* MapSlot() {
  void* at = mmap(nullptr, wire::kSlotBytes, PROT_READ | PROT_WRITE, MAP_SHARED, wire::kSlotFd, 0);
  if (at == MAP_FAILED) return nullptr;
  close(wire::kSlotFd);
  return static_cast<wire::Slot*>(at);
}

}  // namespace kvd::mapreduce
