#include "mapreduce/worker/guest_functions.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "proto/codec.h"

namespace kvd::mapreduce {
namespace {

using wire::FrameType;
using wire::GroupItem;

absl::StatusOr<std::unique_ptr<GuestSession>> StartAs(wire::Role role, const GuestHost& host,
                                                      GuestSpec spec) {
  spec.role = role;
  return GuestSession::Start(host, std::move(spec));
}

absl::Status TooLong(const GuestSession& session, std::string_view key, std::string_view value) {
  if (key.size() <= kKeyBytesMax && value.size() <= kValueBytesMax) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(session.where(), ": a record has a key of ", key.size(),
                                          " B and a value of ", value.size(), " B, the limits are ",
                                          kKeyBytesMax, " and ", kValueBytesMax));
}

absl::Status AskForDone(GuestSession* session, std::string_view request,
                        const GuestSession::KeyAt& key_at, Emitter* out) {
  auto type = session->Ask(request, key_at, out);
  if (!type.ok()) return type.status();
  return *type == FrameType::kDone ? absl::OkStatus()
                                   : session->Nonsense("it ended its answer in a wrong way");
}

absl::Status AskToFinish(GuestSession* session, Emitter* out) {
  std::string request;
  size_t start = wire::BeginFrame(FrameType::kFinish, &request);
  wire::EndFrame(start, &request);
  return AskForDone(
      session, request, [](uint64_t) { return std::nullopt; }, out);
}

}  // namespace

absl::StatusOr<std::unique_ptr<GuestMap>> GuestMap::Start(const GuestHost& host, GuestSpec spec) {
  auto session = StartAs(wire::Role::kMap, host, std::move(spec));
  if (!session.ok()) return session.status();
  return std::unique_ptr<GuestMap>(new GuestMap(std::move(*session)));
}

absl::Status GuestMap::Map(std::span<const Record> batch, Emitter* out) {
  while (!batch.empty()) {
    request_.clear();
    size_t start = wire::BeginFrame(FrameType::kRecords, &request_);
    Writer w(&request_);
    size_t count = 0;
    while (count < batch.size() && request_.size() < wire::kBatchBytes) {
      const Record& record = batch[count++];
      if (absl::Status status = TooLong(*session_, record.key, record.value); !status.ok())
        return status;
      w.Bytes(record.key);
      w.Bytes(record.value);
    }
    wire::EndFrame(start, &request_);
    auto sent = batch.first(count);
    auto key_at = [sent](uint64_t place) -> std::optional<std::string_view> {
      if (place > sent.size()) return std::nullopt;
      return sent[place - 1].key;
    };
    if (absl::Status status = AskForDone(session_.get(), request_, key_at, out); !status.ok())
      return status;
    batch = batch.subspan(count);
  }
  return absl::OkStatus();
}

absl::Status GuestMap::Finish(Emitter* out) { return AskToFinish(session_.get(), out); }

absl::StatusOr<std::unique_ptr<GuestReduce>> GuestReduce::Start(const GuestHost& host,
                                                                wire::Role role, GuestSpec spec) {
  auto session = StartAs(role, host, std::move(spec));
  if (!session.ok()) return session.status();
  return std::unique_ptr<GuestReduce>(new GuestReduce(std::move(*session)));
}

GuestReduce::GuestReduce(std::unique_ptr<GuestSession> session) : session_(std::move(session)) {
  Clear();
}

void GuestReduce::Clear() {
  request_.clear();
  wire::BeginFrame(FrameType::kGroups, &request_);
  keys_.clear();
}

absl::StatusOr<bool> GuestReduce::Send(Emitter* out) {
  wire::EndFrame(0, &request_);
  auto key_at = [this](uint64_t place) -> std::optional<std::string_view> {
    if (keys_.empty() && place == 1) return open_key_;
    if (place > keys_.size()) return std::nullopt;
    auto [at, size] = keys_[place - 1];
    return std::string_view(request_).substr(at, size);
  };
  auto type = session_->Ask(request_, key_at, out);
  if (!type.ok()) return type.status();
  if (*type != FrameType::kDone && *type != FrameType::kMore)
    return session_->Nonsense("it ended its answer in a wrong way");
  Clear();
  return *type == FrameType::kMore;
}

absl::Status GuestReduce::AddKey(std::string_view key, Emitter* out) {
  if (absl::Status status = TooLong(*session_, key, {}); !status.ok()) return status;
  if (request_.size() >= wire::kBatchBytes)
    if (absl::Status status = Flush(out); !status.ok()) return status;
  Writer w(&request_);
  w.Byte(static_cast<uint8_t>(GroupItem::kKey));
  w.Bytes(key);
  keys_.emplace_back(request_.size() - key.size(), key.size());
  return absl::OkStatus();
}

absl::Status GuestReduce::Reduce(std::string_view key, Values* values, Emitter* out) {
  if (absl::Status status = AddKey(key, out); !status.ok()) return status;
  std::string_view value;
  while (values->Next(&value)) {
    if (absl::Status status = TooLong(*session_, key, value); !status.ok()) return status;
    Writer w(&request_);
    w.Byte(static_cast<uint8_t>(GroupItem::kValue));
    w.Bytes(value);
    if (request_.size() < wire::kBatchBytes) continue;
    open_key_ = key;
    auto more = Send(out);
    if (!more.ok()) return more.status();
    // It has what it wants of this key.
    if (!*more) return values->status();
  }
  if (!values->status().ok()) return values->status();
  Writer(&request_).Byte(static_cast<uint8_t>(GroupItem::kEnd));
  // A key whose values were sent before is waited for by the worker.
  return keys_.empty() ? Flush(out) : absl::OkStatus();
}

absl::Status GuestReduce::Flush(Emitter* out) {
  if (request_.size() == wire::kHeaderBytes) return absl::OkStatus();
  auto more = Send(out);
  if (!more.ok()) return more.status();
  return *more ? session_->Nonsense("it wants more values of a key that has no more")
               : absl::OkStatus();
}

absl::Status GuestReduce::Finish(Emitter* out) {
  if (absl::Status status = Flush(out); !status.ok()) return status;
  return AskToFinish(session_.get(), out);
}

absl::StatusOr<std::unique_ptr<GuestPartitioner>> GuestPartitioner::Start(const GuestHost& host,
                                                                          GuestSpec spec) {
  auto session = StartAs(wire::Role::kPartition, host, std::move(spec));
  if (!session.ok()) return session.status();
  return std::unique_ptr<GuestPartitioner>(new GuestPartitioner(std::move(*session)));
}

uint32_t GuestPartitioner::PartitionOf(std::string_view key, uint32_t partitions) const {
  uint32_t to = 0;
  return PartitionsOf({&key, 1}, partitions, &to).ok() ? to : 0;
}

absl::Status GuestPartitioner::status() const {
  MutexLock lock(&mutex_);
  return status_;
}

absl::Status GuestPartitioner::PartitionsOf(std::span<const std::string_view> keys,
                                            uint32_t partitions, uint32_t* to) const {
  MutexLock lock(&mutex_);
  while (status_.ok() && !keys.empty()) {
    size_t bytes = 0;
    size_t count = 0;
    while (count < keys.size() && bytes < wire::kBatchBytes) bytes += keys[count++].size() + 2;
    status_ = Ask(keys.first(count), partitions, to);
    keys = keys.subspan(count);
    to += count;
  }
  return status_;
}

absl::Status GuestPartitioner::Ask(std::span<const std::string_view> keys, uint32_t partitions,
                                   uint32_t* to) const {
  std::string request;
  size_t start = wire::BeginFrame(FrameType::kKeys, &request);
  Writer w(&request);
  w.Varint(partitions);
  for (std::string_view key : keys) {
    if (absl::Status status = TooLong(*session_, key, {}); !status.ok()) return status;
    w.Bytes(key);
  }
  wire::EndFrame(start, &request);
  auto key_at = [keys](uint64_t place) -> std::optional<std::string_view> {
    if (place > keys.size()) return std::nullopt;
    return keys[place - 1];
  };
  std::string_view payload;
  auto type = session_->Ask(request, key_at, nullptr, &payload);
  if (!type.ok()) return type.status();
  if (*type != FrameType::kPartitions)
    return session_->Nonsense("it ended its answer in a wrong way");
  Reader r(payload);
  for (size_t i = 0; i < keys.size(); ++i) {
    uint64_t partition = r.Varint();
    if (!r.ok() || partition >= partitions)
      return session_->Nonsense("a key's partition is missing or out of range");
    to[i] = static_cast<uint32_t>(partition);
  }
  return r.Done() ? absl::OkStatus() : session_->Nonsense("it gave more partitions than keys");
}

}  // namespace kvd::mapreduce
