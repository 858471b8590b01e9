// top: the cluster at a glance.
#include <unistd.h>

#include <thread>

#include "client/kvctl/controller_calls.h"

namespace kvd::kvctl {

using Stub = ControllerStub;

namespace {
constexpr uint32_t kBusiest = 10;  // shards that are shown
}  // namespace

// What the cluster is doing, again and again.
void AddTopCommand(CLI::App& app, Context& context) {
  auto times = std::make_shared<uint64_t>(0);
  auto every = std::make_shared<double>(2);
  CLI::App* top = app.add_subcommand("top", "Show stores, groups and busy shards as they change");
  top->add_option("--every", *every, "Seconds between two looks")->check(CLI::Range(0.2, 3600.0));
  top->add_option("--times", *times, "Looks, then end; 0: until it is stopped");
  top->callback([&context, times, every] {
    // It keeps to the store that answers.
    client::ControllerClient client = ClientOf(context);
    v1::QueryRequest busy;
    busy.set_busiest(kBusiest);
    for (uint64_t i = 0; *times == 0 || i < *times; ++i) {
      if (i > 0) std::this_thread::sleep_for(std::chrono::duration<double>(*every));
      auto stores = OrFail(client.Call(&Stub::ListStores, v1::ListStoresRequest()));
      auto groups = OrFail(client.Call(&Stub::ListGroups, v1::ListGroupsRequest()));
      auto operations = OrFail(client.Call(&Stub::ListOperations, v1::ListOperationsRequest()));
      v1::QueryResponse busiest = OrFail(client.Call(&Stub::Query, busy));
      if (context.json()) {
        std::cout << "{\"stores\": " << ToJson(stores) << ", \"groups\": " << ToJson(groups)
                  << ", \"operations\": " << ToJson(operations)
                  << ", \"busiest\": " << ToJson(busiest) << "}\n";
      } else {
        // Over what was shown before, if that was on a terminal.
        if (isatty(STDOUT_FILENO) != 0) std::cout << "\033[H\033[2J";
        std::cout << StoresText(stores) << "\n"
                  << GroupsText(groups) << "\n"
                  << BusyShardsText(busiest) << "\n"
                  << OperationsText(operations);
      }
      std::cout.flush();
    }
  });
}

}  // namespace kvd::kvctl
