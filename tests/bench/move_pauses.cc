// Moves shards back and forth, one after the other, under load, and tells who noticed: README.md.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <future>
#include <nlohmann/json.hpp>
#include <thread>

#include "absl/strings/str_cat.h"
#include "client/src/controller_client.h"
#include "tests/bench/pipeline_target.h"
#include "tests/bench/report.h"
#include "tests/bench/watchers.h"

namespace kvd::bench {
namespace {

using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;

uint64_t Nanos(Clock::duration d) {
  return static_cast<uint64_t>(std::chrono::nanoseconds(d).count());
}

// Moves shards one at a time and waits for the end of each.
class Mover {
 public:
  explicit Mover(const MoveOptions& options)
      : controller_(options.addresses, std::chrono::seconds(30)) {}

  using Stub = v1::Controller::Stub;

  // Finds the shards, and a second group for each.
  absl::Status Prepare(const MoveOptions& options) {
    auto groups = controller_.Call(&Stub::ListGroups, v1::ListGroupsRequest());
    if (!groups.ok()) return groups.status();
    std::vector<uint64_t> ids;
    for (const auto& group : groups->groups()) {
      if (group.group().group_id() != 1) ids.push_back(group.group().group_id());
    }
    if (ids.size() < 2) return absl::FailedPreconditionError("there is one data group: no moves");
    for (uint64_t i = 0; i < options.moving; ++i) {
      v1::DescribeShardRequest request;
      request.set_key(Workload::KeyOf(i * options.keys / options.shards));
      auto shard = controller_.Call(&Stub::DescribeShard, request);
      if (!shard.ok()) return shard.status();
      if (i > 0 && shard->shard().shard_id() == shards_.back().id)
        return absl::FailedPreconditionError(absl::StrCat("keys ", i - 1, " and ", i, " x ",
                                                          options.keys, " / ", options.shards,
                                                          " are in one shard: split them"));
      auto at = std::find(ids.begin(), ids.end(), shard->shard().group_id());
      if (at == ids.end()) return absl::InternalError("a shard's group is not listed");
      uint64_t other = at + 1 == ids.end() ? ids.front() : *(at + 1);
      shards_.push_back({shard->shard().shard_id(), *at, other});
    }
    return absl::OkStatus();
  }

  // How long the phases of a move took, as far as one that asks again and again can tell.
  const std::map<std::string, Histogram>& phases() const { return phases_; }

  absl::Status Move(uint64_t n) {
    Shard& shard = shards_[n];
    std::swap(shard.group, shard.other);
    v1::BeginRequest request;
    request.mutable_move()->set_shard_id(shard.id);
    request.mutable_move()->set_to_group_id(shard.group);
    auto begun = controller_.Call(&Stub::Begin, request);
    if (!begun.ok()) return begun.status();
    v1::ListOperationsRequest look;
    look.set_operation_id(begun->operation_id());
    std::string last = "running";
    for (Clock::time_point since = Clock::now();;) {
      auto told = controller_.Call(&Stub::ListOperations, look);
      if (!told.ok()) return told.status();
      const std::string& phase = told->operations(0).phase();
      if (phase != last) {
        phases_[last].Add(Nanos(Clock::now() - since));
        since = Clock::now();
        last = phase;
      }
      if (phase == "done") return absl::OkStatus();
      if (phase == "cancelled") return absl::AbortedError("a move was cancelled");
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  }

 private:
  struct Shard {
    uint64_t id = 0;
    uint64_t group = 0;
    uint64_t other = 0;
  };
  client::ControllerClient controller_;
  std::vector<Shard> shards_;
  std::map<std::string, Histogram> phases_;
};

// Runs `f` on the target's thread and waits for it.
void On(Target* target, const std::function<void()>& f) {
  std::promise<void> done;
  target->Post([&] {
    f();
    done.set_value();
  });
  done.get_future().wait();
}

absl::StatusOr<Json> Run(const MoveOptions& options) {
  Mover mover(options);
  absl::Status status = mover.Prepare(options);
  if (!status.ok()) return status;
  PipelineKvd target({.kind = "kvd-pipeline", .addresses = options.addresses, .connections = 2});
  Watchers watchers(&target, options);
  Servers servers{.pids = options.pids, .metrics = {}};
  Histogram durations;
  On(&target, [&] { watchers.Start(); });
  Usage before = Measure(servers);
  Clock::time_point began = Clock::now();
  for (uint64_t i = 0; i < options.moves && status.ok(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(options.rest_ms));
    uint64_t shard = i % options.moving;
    On(&target, [&] { watchers.BeginMove(shard); });
    Clock::time_point start = Clock::now();
    status = mover.Move(shard);
    durations.Add(Nanos(Clock::now() - start));
    On(&target, [&] { watchers.EndMove(); });
  }
  double seconds = std::chrono::duration<double>(Clock::now() - began).count();
  Usage after = Measure(servers);
  std::promise<void> stopped;
  target.Post([&] { watchers.Stop([&] { stopped.set_value(); }); });
  stopped.get_future().wait();
  if (!status.ok()) return status;
  Json out = watchers.Report();
  out["moves"] = options.moves;
  out["shard_mib"] =
      static_cast<double>(options.keys / options.shards * options.value_bytes) / 1048576;
  out["move_seconds"] = LatencyJson(durations);
  for (const auto& [phase, took] : mover.phases()) out["phases"][phase] = LatencyJson(took);
  double other = after.machine_cpu - before.machine_cpu - (after.client_cpu - before.client_cpu) -
                 (after.server_cpu - before.server_cpu);
  out["other_cpu_share"] =
      std::max(0.0, other) / seconds / static_cast<double>(std::thread::hardware_concurrency());
  return out;
}

}  // namespace
}  // namespace kvd::bench

int main(int argc, char** argv) {
  kvd::bench::MoveOptions o;
  CLI::App app("Moves shards back and forth under load and tells who noticed, as JSON.");
  app.add_option("--connect", o.addresses, "HOST:PORT, comma-separated")
      ->required()
      ->delimiter(',');
  app.add_option("--pids", o.pids, "The servers' processes")->delimiter(',');
  app.add_option("--keys", o.keys, "Keys, as kvbench loads them")
      ->required()
      ->check(CLI::Range(uint64_t{1}, uint64_t{1'000'000'000'000}));
  app.add_option("--value-bytes", o.value_bytes, "Size of a value [1024]")
      ->check(CLI::Range(1, 8 << 20));
  app.add_option("--shards", o.shards, "Shards that the keys are cut into evenly [16]")
      ->check(CLI::Range(2, 100'000));
  app.add_option("--moving", o.moving, "The first of them, which move [4]")
      ->check(CLI::Range(1, 1'000));
  app.add_option("--moves", o.moves, "Moves [100]")->check(CLI::Range(1, 1'000'000));
  app.add_option("--watched", o.watched, "Keys of shards that move, and as many of others [32]")
      ->check(CLI::Range(1, 10'000));
  app.add_option("--rest-ms", o.rest_ms, "Between two moves [200]")
      ->check(CLI::Range(0, 3'600'000));
  CLI11_PARSE(app, argc, argv);
  if (o.moving >= o.shards || o.watched < o.moving || o.keys < o.shards) {
    std::fprintf(stderr,
                 "move_pauses: --moving %llu has to be below --shards %llu, at most --watched "
                 "%llu; --keys at least --shards\n",
                 static_cast<unsigned long long>(o.moving),
                 static_cast<unsigned long long>(o.shards),
                 static_cast<unsigned long long>(o.watched));
    return 2;
  }
  auto told = kvd::bench::Run(o);
  if (!told.ok()) {
    std::fprintf(stderr, "move_pauses: %s\n", std::string(told.status().message()).c_str());
    return 1;
  }
  std::puts(told->dump().c_str());
  return 0;
}
