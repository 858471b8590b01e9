// A native worker that does what its parameter `do` says, when it comes to the record with the key
// "bad".
#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "kvd/mapreduce.h"

namespace {

using kvd::worker::Output;
using kvd::worker::Parameters;

volatile int sink = 0;

int Recurse(int depth) {
  volatile char frame[256];
  frame[0] = static_cast<char>(depth);
  if (depth < 0) return 0;  // not in this stack
  return Recurse(depth + 1) + frame[0];
}

void ReadTimeStampCounter() {
#if defined(__x86_64__)
  sink = static_cast<int>(__builtin_ia32_rdtsc());
#endif
}

void Use(const std::string& what) {
  if (what == "null") *const_cast<volatile int*>(static_cast<int*>(nullptr)) = 1;
  if (what == "abort") std::abort();
  if (what == "exit") std::_Exit(3);
  if (what == "throw") throw std::runtime_error("row is bad");
  if (what == "throw-int") throw 7;
  if (what == "loop")
    while (true) sink = sink + 1;
  if (what == "sleep") std::this_thread::sleep_for(std::chrono::hours(1));
  if (what == "pause") pause();
  if (what == "stop") raise(SIGSTOP);
  if (what == "recurse") sink = Recurse(0);
  if (what == "allocate") std::fill_n(new char[size_t{10} << 30], size_t{10} << 30, 'x');
  if (what == "allocate-little")
    for (std::vector<std::string> all;;) all.emplace_back(100'000, 'x');
}

void Call(const std::string& what) {
  if (what == "open") sink = open("/etc/passwd", O_RDONLY);
  if (what == "create") sink = open("file", O_WRONLY | O_CREAT, 0600);
  if (what == "socket") sink = socket(AF_INET, SOCK_STREAM, 0);
  if (what == "fork") sink = fork();
  if (what == "thread") std::thread([] {}).join();
  if (what == "spawn") sink = std::system("true");
  if (what == "exec") sink = execl("/bin/true", "true", nullptr);
  if (what == "kill-parent") sink = kill(getppid(), SIGKILL);
  if (what == "kill-all") sink = kill(-1, SIGKILL);
  if (what == "ptrace") sink = static_cast<int>(syscall(SYS_ptrace, 16, 1, 0, 0));
  if (what == "executable-memory")
    sink = mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                0) == MAP_FAILED;
  if (what == "ignore-sigsys") {
    signal(SIGSYS, SIG_IGN);
    sink = open("/etc/passwd", O_RDONLY);
  }
  if (what == "read-other") sink = static_cast<int>(read(0, const_cast<int*>(&sink), 1));
  if (what == "clock")
    sink = static_cast<int>(std::chrono::steady_clock::now().time_since_epoch().count());
  if (what == "clock-call") {
    timespec now;
    sink = static_cast<int>(syscall(SYS_clock_gettime, CLOCK_REALTIME, &now));
  }
  if (what == "time") sink = static_cast<int>(time(nullptr));
  if (what == "rdtsc") ReadTimeStampCounter();
}

// What needs no permission goes well.
void Harmless(Output& out) {
  std::vector<int> many(1'000'000);
  for (size_t i = 0; i < many.size(); ++i) many[i] = static_cast<int>(i * 7919 % many.size());
  std::sort(many.begin(), many.end());
  std::qsort(many.data(), many.size(), sizeof(int), [](const void* a, const void* b) {
    return *static_cast<const int*>(a) - *static_cast<const int*>(b);
  });
  std::printf("lost\n");
  std::fprintf(stderr, "lost too\n");
  std::fflush(stdout);
  char text[64];
  std::snprintf(text, sizeof(text), "%.3f", 1.5);
  try {
    throw std::runtime_error("caught");
  } catch (const std::exception&) {
  }
  // Nothing of the store's is left here.
  out.Emit("environment", environ == nullptr || *environ == nullptr ? "empty" : *environ);
  out.Emit("text", text);
}

class Actor : public kvd::worker::Mapper {
 public:
  explicit Actor(const Parameters& parameters) : what_(parameters.at("do")) {
    if (what_ == "throw-at-start") throw std::runtime_error("no such column");
  }
  void Act(std::string_view key, std::string_view value, Output& out) {
    if (what_ == "echo") out.Emit(key, value);
    if (key != "bad") return;
    if (what_ == "emit")
      while (true) out.Emit(key, value);
    if (what_ == "long-key") out.Emit(std::string(5'000, 'k'), "");
    if (what_ == "counters")
      for (int i = 0; i < 300; ++i) out.Count("c" + std::to_string(i), 1);
    if (what_ == "harmless") Harmless(out);
    if (what_ == "log") out.Log("a line");
    Use(what_);
    Call(what_);
  }
  void Map(std::string_view key, std::string_view value, Output& out) override {
    records_.Add(out);
    Act(key, value, out);
  }
  void Finish(Output& out) override {
    if (what_ == "echo") out.Emit("end", "map");
  }

 private:
  const std::string what_;
  const kvd::worker::Counter records_{"records"};
};

class Count : public kvd::worker::Reducer {
 public:
  void Reduce(std::string_view key, kvd::worker::Values& values, Output& out) override {
    size_t count = 0;
    for (std::string_view value; values.Next(&value);) ++count;
    out.Emit(key, std::to_string(count));
  }
};

class ByLength : public kvd::worker::Partitioner {
 public:
  uint32_t PartitionOf(std::string_view key, uint32_t partitions) override {
    return static_cast<uint32_t>(key.size()) - (key == "bad" ? 0 : 1) % partitions;
  }
};

}  // namespace

KVD_WORKER(.mapper = kvd::worker::Make<Actor>(), .reducer = kvd::worker::Make<Count>(),
           .partitioner = kvd::worker::Make<ByLength>())
