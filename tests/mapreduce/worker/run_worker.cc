// Runs a script's or a worker program's functions over lines of text, in real worker processes, as
// a job would: map, combine if there is such a function, group by key, reduce.
//
//   run_worker SCRIPT.lua|PROGRAM [PARAMETER=VALUE]... <LINES
//
// Lines and output are KEY<tab>VALUE. Counters and the log go to standard error.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "mapreduce/worker/guest_functions.h"
#include "proto/bytes.h"
#include "tests/scratch_directory.h"

namespace kvd::mapreduce {
namespace {

using Groups = std::map<std::string, std::vector<std::string>>;

class Grouping : public Emitter {
 public:
  absl::Status Emit(std::string_view key, std::string_view value) override {
    groups[std::string(key)].emplace_back(value);
    return absl::OkStatus();
  }
  void Count(std::string_view counter, int64_t delta) override {
    counts[std::string(counter)] += delta;
  }
  Groups groups;
  std::map<std::string, int64_t> counts;
};

class ValuesOf : public Values {
 public:
  explicit ValuesOf(const std::vector<std::string>& values) : values_(values) {}
  bool Next(std::string_view* value) override {
    if (at_ == values_.size()) return false;
    *value = values_[at_++];
    return true;
  }
  absl::Status status() const override { return absl::OkStatus(); }

 private:
  const std::vector<std::string>& values_;
  size_t at_ = 0;
};

void OrExit(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  std::exit(1);
}

void MapInput(const GuestHost& host, const GuestSpec& spec, Grouping* out) {
  auto map = GuestMap::Start(host, spec);
  OrExit(map.status());
  std::vector<std::pair<std::string, std::string>> rows;
  for (std::string line; std::getline(std::cin, line);) {
    size_t tab = line.find('\t');
    bool has_value = tab != std::string::npos;
    rows.emplace_back(line.substr(0, tab), has_value ? line.substr(tab + 1) : "");
  }
  std::vector<Record> batch;
  for (const auto& [key, value] : rows) batch.push_back({key, value});
  OrExit((*map)->Map(batch, out));
  OrExit((*map)->Finish(out));
}

// Leaves the groups as they are if there is no function for the role.
void ReduceGroups(const GuestHost& host, wire::Role role, const GuestSpec& spec, Grouping* all) {
  auto reduce = GuestReduce::Start(host, role, spec);
  absl::string_view message = reduce.status().message();
  if (absl::StrContains(message, "defines no function") ||
      absl::StrContains(message, "has no function"))
    return;
  OrExit(reduce.status());
  Grouping out;
  for (const auto& [key, values] : all->groups) {
    ValuesOf v(values);
    OrExit((*reduce)->Reduce(key, &v, &out));
  }
  OrExit((*reduce)->Finish(&out));
  all->groups = std::move(out.groups);
  for (const auto& [name, count] : out.counts) all->counts[name] += count;
}

int Main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: run_worker SCRIPT.lua|PROGRAM [PARAMETER=VALUE]... <LINES\n");
    return 2;
  }
  ScratchDirectory empty;
  GuestHost host;
  host.worker_program = KVD_TEST_PROGRAMS "/kvd-worker";
  host.directory = empty.path();
  GuestSpec spec;
  spec.job = "try";
  spec.task = "1.1";
  std::string program = argv[1];
  if (program.ends_with(".lua")) {
    std::ifstream in(program, std::ios::binary);
    spec.lua = std::string(std::istreambuf_iterator<char>(in), {});
  } else {
    auto native = NativeWorkers::Parse(std::vector<std::string>{"worker=" + program});
    OrExit(native.status());
    host.native = *native;
    spec.native = "worker";
  }
  for (int i = 2; i < argc; ++i) {
    std::string parameter = argv[i];
    size_t at = std::min(parameter.find('='), parameter.size() - 1);
    spec.parameters.emplace_back(parameter.substr(0, at), parameter.substr(at + 1));
  }
  spec.log = [](std::string_view line) {
    std::fprintf(stderr, "log: %.*s\n", static_cast<int>(line.size()), line.data());
  };
  Grouping all;
  MapInput(host, spec, &all);
  ReduceGroups(host, wire::Role::kCombine, spec, &all);
  ReduceGroups(host, wire::Role::kReduce, spec, &all);
  for (const auto& [key, values] : all.groups)
    for (const std::string& value : values) std::printf("%s\t%s\n", key.c_str(), value.c_str());
  for (const auto& [name, count] : all.counts)
    std::fprintf(stderr, "counter: %s %lld\n", name.c_str(), static_cast<long long>(count));
  return 0;
}

}  // namespace
}  // namespace kvd::mapreduce

int main(int argc, char** argv) { return kvd::mapreduce::Main(argc, argv); }
