// A worker program that does not use the SDK and means ill. How is told by its name.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <map>
#include <string>
#include <string_view>

#include "mapreduce/worker/protocol.h"

// As in the SDK: what a sanitizer's runtime may not do in a worker.
extern "C" const char* __asan_default_options() {  // NOLINT
  return "disable_coredump=0:detect_leaks=0";
}

namespace {

using namespace kvd;
using namespace kvd::mapreduce::wire;

void Send(std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t n = write(kSocketFd, bytes.data(), bytes.size());
    if (n <= 0) _exit(0);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
}

void SendFrame(FrameType type, std::string_view payload = {}) {
  std::string frame;
  size_t start = BeginFrame(type, &frame);
  frame.append(payload);
  EndFrame(start, &frame);
  Send(frame);
}

void ReadFrame() {
  std::string in(kHeaderBytes, 0);
  size_t have = 0;
  size_t want = kHeaderBytes;
  while (have < want) {
    ssize_t n = read(kSocketFd, in.data() + have, want - have);
    if (n <= 0) _exit(0);
    have += static_cast<size_t>(n);
    if (have == kHeaderBytes) want += Reader(in).Fixed32();
    in.resize(want);
  }
}

void Welcome(uint32_t magic, uint64_t version) {
  ReadFrame();
  std::string payload;
  Writer w(&payload);
  w.Fixed32(magic);
  w.Varint(version);
  w.Varint(15);
  SendFrame(FrameType::kWelcome, payload);
}

std::string Encoded(std::initializer_list<std::string> strings) {
  std::string out;
  for (const std::string& s : strings) Writer(&out).Bytes(s);
  return out;
}

Slot* MapSlot() {
  return static_cast<Slot*>(
      mmap(nullptr, kSlotBytes, PROT_READ | PROT_WRITE, MAP_SHARED, kSlotFd, 0));
}

// What a program without the SDK could do to its store and its machine; gives what it got away
// with.
std::string TryAll() {
  std::string done;
  auto tried = [&](const char* what, bool worked) {
    if (worked) done += std::string(" ") + what;
  };
  tried("socket", socket(AF_INET, SOCK_STREAM, 0) >= 0);
  tried("unix-socket", socket(AF_UNIX, SOCK_STREAM, 0) >= 0);
  pid_t child = fork();
  if (child == 0) _exit(0);
  tried("fork", child > 0);
  child = static_cast<pid_t>(syscall(SYS_vfork));
  if (child == 0) _exit(0);
  tried("vfork", child > 0);
  tried("create", open("file", O_WRONLY | O_CREAT, 0600) >= 0);
  tried("write", open("/tmp", O_TMPFILE | O_RDWR, 0600) >= 0);
  tried("mkdir", mkdir("directory", 0700) == 0);
  tried("signal", kill(getppid(), 0) == 0);
  tried("signal-all", kill(-1, 0) == 0);
  tried("trace", syscall(SYS_ptrace, 16, getppid(), 0, 0) == 0);
  tried("namespace", syscall(SYS_unshare, 0x10000000) == 0);
  rlimit more{RLIM_INFINITY, RLIM_INFINITY};
  tried("limit", setrlimit(RLIMIT_AS, &more) == 0 || setrlimit(RLIMIT_NPROC, &more) == 0);
  tried("priority", setpriority(PRIO_PROCESS, 0, -5) == 0);
  for (int fd = kSlotFd + 1; fd < 4096; ++fd) tried("file-of-store", fcntl(fd, F_GETFD) >= 0);
  tried("environment", *environ != nullptr);
  return done;
}

// In answer to a batch of records.
void Misbehave(const std::string& how) {
  if (how == "closes") _exit(0);
  if (how == "closes-and-stays") {
    close(kSocketFd);
    while (true) pause();
  }
  if (how == "exits") _exit(9);
  if (how == "huge-frame") Send(std::string_view("\xff\xff\xff\xff\x22", 5));
  if (how == "slow-frame") Send(std::string_view("\x00\x10\x00\x00\x22", 5));
  if (how == "trickles") {
    Send(std::string_view("\x00\x90\x00\x00\x22", 5));
    while (true) {
      Send("x");
      usleep(1000);
    }
  }
  if (how == "endless-frames")
    while (true) SendFrame(FrameType::kEmits, Encoded({"k", std::string(1000, 'v')}));
  if (how == "endless-empty")
    while (true) SendFrame(FrameType::kEmits);
  if (how == "endless-log")
    while (true) SendFrame(FrameType::kLog, std::string(100'000, 'x'));
  if (how == "bad-emits") SendFrame(FrameType::kEmits, "\xff\xff\xff");
  if (how == "bad-counts") SendFrame(FrameType::kCounts, Encoded({std::string(100, 'n')}) + "\x02");
  if (how == "many-counters")
    for (int i = 0; i < 1000; ++i)
      SendFrame(FrameType::kCounts, Encoded({"c" + std::to_string(i)}) + "\x02");
  if (how == "bad-failure") SendFrame(FrameType::kFailure, "\x63");
  if (how == "wrong-answer") SendFrame(FrameType::kMore);
  if (how == "bad-partition") SendFrame(FrameType::kPartitions, "\x7f");
  if (how == "tries-all") {
    SendFrame(FrameType::kEmits, Encoded({"done", TryAll()}));
    SendFrame(FrameType::kDone);
  }
  if (how == "shrinks-slot") {
    bool shrunk = ftruncate(kSlotFd, 0) == 0;
    SendFrame(FrameType::kEmits, Encoded({"shrunk", shrunk ? "yes" : "no"}));
    _exit(1);
  }
  if (how == "lies-in-slot") {
    MapSlot()->current = 1'000'000;
    raise(SIGSEGV);
  }
  if (how == "ignores-xcpu") {
    signal(SIGXCPU, SIG_IGN);
    while (true) getppid();
  }
}

}  // namespace

int main(int, char** argv) {
  std::string how = argv[0];
  if (how == "silent")
    while (true) pause();
  if (how == "garbage") Send(std::string(100'000, 'g'));
  if (how == "wrong-magic") Welcome(1, kVersion);
  if (how == "next-version") Welcome(kMagic, kVersion + 6);
  Welcome(kMagic, kVersion);
  ReadFrame();
  SendFrame(FrameType::kLoaded);
  // One that never reads again.
  if (how == "deaf")
    while (true) pause();
  ReadFrame();
  Misbehave(how);
  while (true) pause();
}
