#include "mapreduce/worker/guest_session.h"

#include <errno.h>
#include <fcntl.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "proto/bytes.h"

namespace kvd::mapreduce {
namespace {

using wire::FrameType;

// Of what user code allocates nothing but this goes off for the process itself: a frame at its
// limit in both directions, while their buffers grow.
constexpr uint64_t kFramesBytes = 48 << 20;
// The program and its libraries, and the stack.
constexpr uint64_t kProgramBytes = 80 << 20;

const GuestSession::KeyAt kNoRecord = [](uint64_t) { return std::nullopt; };

uint64_t DataOf(const GuestSpec& spec) {
  // A script's small and its large values lie apart, each within the limit.
  return spec.limits.memory_bytes * (spec.native.empty() ? 2 : 1) + kFramesBytes;
}

absl::Status CheckSpec(const GuestSpec& spec) {
  auto refuse = [](const std::string& why) { return absl::FailedPreconditionError(why); };
  if (spec.lua.empty() == spec.native.empty())
    return refuse("the code must be either a script or the name of a native worker");
  if (spec.lua.size() > wire::kScriptBytesMax)
    return refuse(absl::StrCat("the script has ", spec.lua.size(), " B, the limit is ",
                               wire::kScriptBytesMax));
  if (spec.parameters.size() > wire::kParametersMax)
    return refuse(absl::StrCat("the code has ", spec.parameters.size(),
                               " parameters, the limit is ", wire::kParametersMax));
  if (spec.limits.memory_bytes < kMemoryBytesMin || spec.limits.memory_bytes > kMemoryBytesMax)
    return refuse(absl::StrCat("the memory limit is ", spec.limits.memory_bytes,
                               " B, it must be from ", kMemoryBytesMin, " to ", kMemoryBytesMax));
  if (spec.limits.cpu_ms == 0)
    return refuse("the limit of CPU time is 0 ms, it must be at least 1");
  for (const auto& [name, value] : spec.parameters) {
    if (name.empty() || name.size() > wire::kNameBytesMax ||
        value.size() > wire::kParameterBytesMax)
      return refuse(absl::StrCat("parameter ", Printable(name), " has a name of ", name.size(),
                                 " B and a value of ", value.size(), " B, the limits are 1 to ",
                                 wire::kNameBytesMax, " and ", wire::kParameterBytesMax));
  }
  return absl::OkStatus();
}

std::string Frame(FrameType type, std::string_view payload = {}) {
  std::string frame;
  size_t start = wire::BeginFrame(type, &frame);
  frame.append(payload);
  wire::EndFrame(start, &frame);
  return frame;
}

// Ours is as trustworthy as we are.
absl::StatusOr<OwnedFd> OpenOurs(const std::string& path) {
  OwnedFd program(open(path.c_str(), O_PATH | O_CLOEXEC));
  if (program.get() < 0)
    return absl::UnavailableError(
        absl::StrCat("the worker program ", path, " can't be run: ", strerrordesc_np(errno)));
  return program;
}

}  // namespace

GuestSession::GuestSession(GuestSpec spec, std::unique_ptr<WorkerProcess> process)
    : spec_(std::move(spec)),
      where_(absl::StrCat("job ", Printable(spec_.job), ", task ", spec_.task)),
      process_(std::move(process)),
      channel_(process_->socket()),
      answers_(spec_.limits.log_bytes, spec_.log) {}

absl::StatusOr<std::unique_ptr<GuestSession>> GuestSession::Start(const GuestHost& host,
                                                                  GuestSpec spec) {
  if (absl::Status status = CheckSpec(spec); !status.ok()) return status;
  auto program =
      spec.native.empty() ? OpenOurs(host.worker_program) : host.native.Open(spec.native);
  if (!program.ok()) return program.status();
  ProcessOptions options;
  options.program_fd = program->get();
  options.name = spec.native.empty() ? "kvd-worker" : spec.native;
  options.directory = host.directory;
  options.user = host.user;
  options.data_bytes = DataOf(spec);
  options.address_space_bytes = options.data_bytes + kProgramBytes;
  options.cpu_ms = spec.limits.cpu_ms;
  auto process = WorkerProcess::Start(options);
  if (!process.ok()) return process.status();
  std::unique_ptr<GuestSession> session(new GuestSession(std::move(spec), std::move(*process)));
  if (absl::Status status = session->Load(options.name); !status.ok()) return status;
  return session;
}

absl::Status GuestSession::Load(const std::string& program) {
  std::string hello;
  Writer w(&hello);
  w.Fixed32(wire::kMagic);
  w.Varint(wire::kVersion);
  std::string_view welcome;
  auto type =
      AskWithin(spec_.limits.start, Frame(FrameType::kHello, hello), kNoRecord, nullptr, &welcome);
  if (!type.ok()) return type.status();
  Reader r(welcome);
  if (*type != FrameType::kWelcome || r.Fixed32() != wire::kMagic)
    return Nonsense("its first frame is no greeting");
  uint64_t version = r.Varint();
  if (r.ok() && version != wire::kVersion) {
    return broken_ = absl::FailedPreconditionError(
               absl::StrCat(where_, ": worker ", Printable(program), " speaks version ", version,
                            " of the workers' protocol, this store speaks version ", wire::kVersion,
                            ": it must be built with this kvd's SDK"));
  }
  r.Varint();
  if (!r.Done()) return Nonsense("its greeting is malformed");
  wire::Load load;
  load.role = spec_.role;
  load.job = spec_.job.substr(0, wire::kReasonBytesMax);
  load.task = spec_.task.substr(0, wire::kReasonBytesMax);
  load.source = spec_.lua;
  load.parameters = spec_.parameters;
  load.memory_bytes = spec_.limits.memory_bytes;
  std::string payload;
  load.Encode(&payload);
  type =
      AskWithin(spec_.limits.answer, Frame(FrameType::kLoad, payload), kNoRecord, nullptr, nullptr);
  if (!type.ok()) return type.status();
  return *type == FrameType::kLoaded ? absl::OkStatus() : Nonsense("it did not say it has loaded");
}

absl::StatusOr<FrameType> GuestSession::Ask(std::string_view request, const KeyAt& key_at,
                                            Emitter* out, std::string_view* payload) {
  return AskWithin(spec_.limits.answer, request, key_at, out, payload);
}

absl::StatusOr<FrameType> GuestSession::AskWithin(std::chrono::milliseconds limit,
                                                  std::string_view request, const KeyAt& key_at,
                                                  Emitter* out, std::string_view* payload) {
  if (!broken_.ok()) return broken_;
  waited_ = limit;
  Watch watch(limit, [this] { return process_->schedule(); });
  HostChannel::Result result = channel_.Send(request, &watch);
  // Who fails before it has read all may have said why.
  while (result == HostChannel::Result::kOk || result == HostChannel::Result::kClosed) {
    FrameType type;
    std::string_view received;
    result = channel_.Receive(&type, &received, &watch);
    if (result != HostChannel::Result::kOk) break;
    output_bytes_ += wire::kHeaderBytes + received.size();
    switch (type) {
      case FrameType::kWelcome:
      case FrameType::kLoaded:
      case FrameType::kDone:
      case FrameType::kMore:
      case FrameType::kPartitions:
        if (payload != nullptr) *payload = received;
        return type;
      case FrameType::kFailure: return broken_ = OnFailure(received, key_at);
      default: break;
    }
    if (output_bytes_ > spec_.limits.output_bytes) {
      std::string reason =
          absl::StrCat("killed: it emitted more than ", spec_.limits.output_bytes, " B");
      absl::Status status = OverLimit(reason, key_at);
      process_->End(0);
      return broken_ = status;
    }
    if (absl::Status status = Take(type, received, out, &watch); !status.ok()) {
      process_->End(0);
      return broken_ = status;
    }
  }
  if (watch.starved()) return broken_ = OnStarved(key_at);
  return broken_ = OnBroken(result, key_at);
}

absl::Status GuestSession::Take(FrameType type, std::string_view payload, Emitter* out,
                                Watch* watch) {
  watch->Pause();
  Answers::Verdict verdict = answers_.Take(type, payload, out);
  watch->Resume();
  return verdict.nonsense.empty() ? verdict.status : Nonsense(verdict.nonsense);
}

absl::Status CheckCode(const GuestHost& host, GuestSpec spec) {
  return GuestSession::Start(host, std::move(spec)).status();
}

}  // namespace kvd::mapreduce
