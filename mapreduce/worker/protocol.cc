#include "mapreduce/worker/protocol.h"

#include "proto/codec.h"

namespace kvd::mapreduce::wire {

const char* NameOf(Role role) {
  switch (role) {
    case Role::kMap: return "map";
    case Role::kCombine: return "combine";
    case Role::kReduce: return "reduce";
    case Role::kPartition: return "partition";
  }
  return "?";
}

void Load::Encode(std::string* out) const {
  Writer w(out);
  w.Byte(static_cast<uint8_t>(role));
  w.Bytes(job);
  w.Bytes(task);
  w.Bytes(source);
  w.Varint(parameters.size());
  for (const auto& [name, value] : parameters) {
    w.Bytes(name);
    w.Bytes(value);
  }
  w.Varint(memory_bytes);
}

bool Load::Decode(std::string_view in) {
  Reader r(in);
  uint8_t role_byte = r.Byte();
  if (role_byte >= kRoles) return false;
  role = static_cast<Role>(role_byte);
  job = r.Bytes();
  task = r.Bytes();
  source = r.Bytes();
  uint64_t count = r.Count();
  if (count > kParametersMax || source.size() > kScriptBytesMax) return false;
  parameters.clear();
  for (uint64_t i = 0; i < count; ++i) {
    std::string name(r.Bytes());
    parameters.emplace_back(std::move(name), r.Bytes());
  }
  memory_bytes = r.Varint();
  return r.Done();
}

void Failure::Encode(std::string* out) const {
  Writer w(out);
  w.Byte(static_cast<uint8_t>(kind));
  w.Bytes(std::string_view(reason).substr(0, kReasonBytesMax));
}

bool Failure::Decode(std::string_view in) {
  Reader r(in);
  uint8_t kind_byte = r.Byte();
  reason = r.Bytes();
  if (!r.Done() || kind_byte == 0 || kind_byte > static_cast<uint8_t>(FailureKind::kStopped) ||
      reason.size() > kReasonBytesMax)
    return false;
  kind = static_cast<FailureKind>(kind_byte);
  return true;
}

size_t BeginFrame(FrameType type, std::string* out) {
  size_t start = out->size();
  Writer w(out);
  w.Fixed32(0);
  w.Byte(static_cast<uint8_t>(type));
  return start;
}

void EndFrame(size_t start, std::string* out) {
  auto length = static_cast<uint32_t>(out->size() - start - kHeaderBytes);
  for (size_t i = 0; i < 4; ++i) (*out)[start + i] = static_cast<char>(length >> (24 - 8 * i));
}

}  // namespace kvd::mapreduce::wire
