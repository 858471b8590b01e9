// shard, explain: changing who owns which keys, and why it is as it is.
#include <algorithm>
#include <thread>

#include "absl/strings/str_cat.h"
#include "client/kvctl/controller_calls.h"

namespace kvd::kvctl {
namespace {

using Stub = ControllerStub;
using Clock = std::chrono::steady_clock;

// Begins it, and waits until it is over unless told not to.
void Begin(Context& context, const v1::BeginRequest& request, bool wait) {
  uint64_t id = OrFail(ClientOf(context).Call(&Stub::Begin, request)).operation_id();
  v1::ListOperationsRequest look;
  look.set_operation_id(id);
  auto end = Clock::now() + std::chrono::milliseconds(context.timeout_ms);
  std::string phase = "running", trouble;
  while (wait && phase != "done" && phase != "cancelled") {
    if (Clock::now() > end) {
      throw Failure{absl::DeadlineExceededError(absl::StrCat(
          "operation ", id, " goes on, it is not done yet", trouble.empty() ? "" : ": ", trouble))};
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    auto told = OrFail(ClientOf(context).Call(&Stub::ListOperations, look));
    phase = told.operations(0).phase();
    trouble = told.operations(0).trouble();
  }
  if (context.json()) {
    std::cout << absl::StrCat("{\"operation_id\": ", id, ", \"phase\": \"", phase, "\"}\n");
  } else {
    std::cout << "OK operation " << id << " is " << phase << "\n";
  }
}

// Until these operations are over, or `end`: whether they are.
bool AwaitOver(Context& context, const v1::ScatterResponse& begun, Clock::time_point end) {
  v1::ListOperationsRequest look;
  *look.mutable_operation_ids() = begun.operation_ids();
  while (true) {
    auto told = OrFail(ClientOf(context).Call(&Stub::ListOperations, look));
    // One that is not known any more is over.
    bool over = std::all_of(told.operations().begin(), told.operations().end(), [](const auto& o) {
      return o.phase() == "done" || o.phase() == "cancelled";
    });
    if (over) return true;
    if (Clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
}

// Begins moves, waits for those, and asks for more, until every shard is where it should be.
void Scatter(Context& context, const v1::ScatterRequest& request, bool wait) {
  auto end = Clock::now() + std::chrono::milliseconds(context.timeout_ms);
  uint64_t moves = 0;
  while (true) {
    v1::ScatterResponse told = OrFail(ClientOf(context).Call(&Stub::Scatter, request));
    moves += static_cast<uint64_t>(told.operation_ids_size());
    bool over = told.operation_ids().empty() && told.busy() == 0;
    if (over || !wait) {
      std::cout << (context.json()
                        ? ToJson(told) + "\n"
                        : absl::StrCat("OK ", moves, " moves of ", told.shards(), " shards ",
                                       over ? "are done" : "have begun", "\n"));
      return;
    }
    bool moved = told.operation_ids().empty() || AwaitOver(context, told, end);
    if (!moved || Clock::now() > end) {
      throw Failure{absl::DeadlineExceededError(absl::StrCat(
          moves, " moves of ", told.shards(), " shards have begun, and go on; see op list"))};
    }
    // Others are at work on what should move: what those are is not told.
    if (told.operation_ids().empty()) std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
}

void AddScatterCommand(CLI::App* shard, Context& context) {
  auto range = std::make_shared<std::pair<std::string, std::string>>();
  auto wait = std::make_shared<bool>(true);
  CLI::App* scatter =
      shard->add_subcommand("scatter", "Spread the shards of a range evenly over the groups");
  scatter->add_option("start", range->first, "First key; none: from the first shard");
  scatter->add_option("end", range->second, "Where it ends; none: with the last shard");
  scatter->add_flag("!--no-wait", *wait, "Only begin it");
  scatter->callback([&context, range, wait] {
    v1::ScatterRequest request;
    request.set_start(OrFail(context.Bytes(range->first)));
    request.set_end(OrFail(context.Bytes(range->second)));
    Scatter(context, request, *wait);
  });
}

}  // namespace

void AddShardCommands(CLI::App& app, Context& context) {
  CLI::App* shard = app.add_subcommand("shard", "Show, move, split and merge shards");
  shard->require_subcommand(1);
  AddShardListCommand(shard, context);
  AddShardShow(shard, context);
  auto wait = std::make_shared<bool>(true);
  auto add = [&](const char* name, const char* help) {
    CLI::App* command = shard->add_subcommand(name, help);
    command->add_flag("!--no-wait", *wait, "Only begin it");
    return command;
  };
  auto ids = std::make_shared<std::pair<uint64_t, uint64_t>>();
  CLI::App* move = add("move", "Move a shard to another group");
  move->add_option("shard", ids->first, "Shard id")->required();
  move->add_option("group", ids->second, "Group id")->required();
  move->callback([&context, ids, wait] {
    v1::BeginRequest request;
    request.mutable_move()->set_shard_id(ids->first);
    request.mutable_move()->set_to_group_id(ids->second);
    Begin(context, request, *wait);
  });
  auto key = std::make_shared<std::string>();
  CLI::App* split = add("split", "Split the shard of a key there: it becomes the next one's first");
  split->add_option("key", *key, "First key of the new shard")->required();
  split->callback([&context, key, wait] {
    v1::BeginRequest request;
    request.mutable_split()->set_key(OrFail(context.Bytes(*key)));
    Begin(context, request, *wait);
  });
  CLI::App* merge = add("merge", "Merge a shard with its right neighbour");
  merge->add_option("shard", ids->first, "Shard id")->required();
  merge->callback([&context, ids, wait] {
    v1::BeginRequest request;
    request.mutable_merge()->set_shard_id(ids->first);
    Begin(context, request, *wait);
  });
  AddScatterCommand(shard, context);
}

void AddExplainCommand(CLI::App& app, Context& context) {
  CLI::App* explain = app.add_subcommand("explain", "Say why something is as it is");
  explain->require_subcommand(1);
  auto id = std::make_shared<uint64_t>(0);
  auto key = std::make_shared<std::string>();
  CLI::App* shard = explain->add_subcommand("shard", "Why a shard is where it is");
  auto* by_id = shard->add_option("shard", *id, "Shard id");
  shard->add_option("--key", *key, "The shard of this key instead")->excludes(by_id);
  shard->require_option(1);
  shard->callback([&context, id, key] {
    v1::ExplainRequest request;
    request.set_shard_id(*id);
    request.set_key(OrFail(context.Bytes(*key)));
    auto told = OrFail(ClientOf(context).Call(&Stub::Explain, request));
    if (context.json()) {
      std::cout << ToJson(told) << "\n";
      return;
    }
    for (const std::string& line : told.lines()) std::cout << line << "\n";
  });
}

}  // namespace kvd::kvctl
