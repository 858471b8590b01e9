// How fast user code is in a worker process: word count over text, and what a process costs.
//
//   worker_bench [MEGABYTES]
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "mapreduce/worker/guest_functions.h"
#include "tests/scratch_directory.h"

namespace kvd::mapreduce {
namespace {

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// CPU seconds so far: of this process, or of its children that have ended.
double Cpu(int who) {
  rusage usage = {};
  getrusage(who, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

class Counting : public Emitter {
 public:
  absl::Status Emit(std::string_view key, std::string_view value) override {
    ++pairs;
    bytes += key.size() + value.size();
    return absl::OkStatus();
  }
  void Count(std::string_view, int64_t) override {}
  uint64_t pairs = 0;
  uint64_t bytes = 0;
};

// Lines of about 100 B of words from the system's list, in a zipfian mix.
std::vector<std::string> Lines(size_t bytes) {
  std::ifstream in("/usr/share/dict/words");
  std::vector<std::string> words;
  for (std::string word; in >> word;)
    if (word.find_first_not_of("abcdefghijklmnopqrstuvwxyz") == std::string::npos)
      words.push_back(word);
  if (words.empty()) words = {"some", "words", "for", "want", "of", "a", "list"};
  uint64_t state = 1;
  auto random = [&] {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<double>(state >> 11) / 9007199254740992.0;
  };
  std::vector<std::string> lines;
  for (size_t done = 0; done < bytes;) {
    std::string line;
    while (line.size() < 100) {
      double u = random();
      line += words[static_cast<size_t>(static_cast<double>(words.size()) * u * u * u * u)];
      line += ' ';
    }
    done += line.size();
    lines.push_back(std::move(line));
  }
  return lines;
}

void Measure(const char* name, const GuestHost& host, const GuestSpec& spec,
             const std::vector<std::string>& lines) {
  double start = Now();
  auto map = GuestMap::Start(host, spec);
  if (!map.ok()) {
    std::printf("%s: %s\n", name, map.status().ToString().c_str());
    std::exit(1);
  }
  double started = Now();
  double host_cpu = Cpu(RUSAGE_SELF);
  double worker_cpu = Cpu(RUSAGE_CHILDREN);
  Counting out;
  size_t bytes = 0;
  std::vector<Record> batch;
  size_t batch_bytes = 0;
  auto flush = [&] {
    absl::Status status = (*map)->Map(batch, &out);
    if (!status.ok()) std::printf("%s: %s\n", name, status.ToString().c_str());
    batch.clear();
    bytes += batch_bytes;
    batch_bytes = 0;
  };
  for (const std::string& line : lines) {
    batch.push_back({"line-0000001", line});
    batch_bytes += line.size();
    if (batch_bytes >= wire::kBatchBytes) flush();
  }
  flush();
  (void)(*map)->Finish(&out);
  double end = Now();
  map->reset();
  auto mb = static_cast<double>(bytes) / 1e6;
  std::printf(
      "%-26s %6.1f MB/s, by CPU time: worker %6.1f, host %6.1f; start %.2f ms; %.1f M pairs\n",
      name, mb / (end - started), mb / (Cpu(RUSAGE_CHILDREN) - worker_cpu),
      mb / (Cpu(RUSAGE_SELF) - host_cpu), 1e3 * (started - start),
      static_cast<double>(out.pairs) / 1e6);
}

void Main(size_t megabytes) {
  ScratchDirectory empty;
  ScratchDirectory programs;
  GuestHost host;
  host.worker_program = KVD_TEST_PROGRAMS "/kvd-worker";
  host.directory = empty.path();
  std::string path = programs.path() + "/bench_worker";
  std::filesystem::copy_file(KVD_TEST_PROGRAMS "/bench_worker", path);
  host.native = *NativeWorkers::Parse(std::vector<std::string>{"words=" + path});
  auto lines = Lines(megabytes * 1'000'000);
  GuestSpec spec;
  spec.job = "bench";
  spec.task = "map-1.1";
  spec.native = "words";
  Measure("native word count", host, spec, lines);
  spec.native = "";
  spec.lua = "function map(k, v) for w in v:gmatch('%a+') do emit(w, 1) end end";
  Measure("Lua word count", host, spec, lines);
  spec.lua =
      "function map_batch(r) for k, v in r do for w in v:gmatch('%a+') do emit(w, 1) end end end";
  Measure("Lua word count, map_batch", host, spec, lines);
  spec.lua = "function map(k, v) for w in v:gmatch('%a+') do end end";
  Measure("Lua words, not emitted", host, spec, lines);
  spec.lua = "function map(k, v) if v:find('zebra', 1, true) then emit(k, v) end end";
  Measure("Lua grep", host, spec, lines);
  spec.lua = "function map(k, v) emit(k, v) end";
  Measure("Lua identity", host, spec, lines);
}

}  // namespace
}  // namespace kvd::mapreduce

int main(int argc, char** argv) {
  kvd::mapreduce::Main(argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 50);
}
