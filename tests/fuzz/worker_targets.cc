// What a worker process of a job sends to its store.
#include <sys/socket.h>
#include <unistd.h>

#include "mapreduce/worker/answer.h"
#include "mapreduce/worker/host_channel.h"
#include "proto/check.h"
#include "tests/fuzz/target.h"

namespace kvd {
namespace {

using mapreduce::Answers;
using mapreduce::HostChannel;
namespace wire = mapreduce::wire;

class Checked : public mapreduce::Emitter {
 public:
  absl::Status Emit(std::string_view key, std::string_view value) override {
    KVD_CHECK(key.size() <= kKeyBytesMax && value.size() <= kValueBytesMax);
    return absl::OkStatus();
  }
  void Count(std::string_view counter, int64_t) override {
    KVD_CHECK(!counter.empty() && counter.size() <= wire::kNameBytesMax);
  }
};

// Any bytes on the socket: frames come out as far as they are whole, and what is in them is within
// all limits or refused.
KVD_FUZZ_TARGET(worker_answer) {
  int pair[2];
  KVD_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
  // More than a socket holds is of no use here.
  input = input.substr(0, 64 << 10);
  KVD_CHECK(write(pair[1], input.data(), input.size()) == static_cast<ssize_t>(input.size()));
  close(pair[1]);
  mapreduce::Watch watch(std::chrono::hours(1), [] { return mapreduce::Watch::Schedule{}; });
  HostChannel channel(pair[0]);
  uint64_t logged = 0;
  Answers answers(1000, [&](std::string_view line) { logged += line.size(); });
  Checked out;
  wire::FrameType type;
  std::string_view payload;
  size_t taken = 0;
  while (channel.Receive(&type, &payload, &watch) == HostChannel::Result::kOk) {
    taken += wire::kHeaderBytes + payload.size();
    wire::Failure failure;
    wire::Load load;
    if (failure.Decode(payload)) KVD_CHECK(failure.failed());
    if (load.Decode(payload)) KVD_CHECK(load.parameters.size() <= wire::kParametersMax);
    KVD_CHECK(answers.Take(type, payload, &out).status.ok());
  }
  KVD_CHECK(taken <= input.size() && logged <= 1000);
  close(pair[0]);
}

}  // namespace
}  // namespace kvd
