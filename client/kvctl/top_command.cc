// top: the cluster at a glance.
#include <unistd.h>

#include <thread>

#include "client/kvctl/controller_calls.h"

namespace kvd::kvctl {

using Stub = ControllerStub;

// What the cluster is doing, again and again.
void AddTopCommand(CLI::App& app, Context& context) {
  auto times = std::make_shared<uint64_t>(0);
  auto every = std::make_shared<double>(2);
  CLI::App* top = app.add_subcommand("top", "Show stores, groups and busy shards as they change");
  top->add_option("--every", *every, "Seconds between two looks")->check(CLI::Range(0.2, 3600.0));
  top->add_option("--times", *times, "Looks, then end; 0: until it is stopped");
  top->callback([&context, times, every] {
    for (uint64_t i = 0; *times == 0 || i < *times; ++i) {
      if (i > 0) std::this_thread::sleep_for(std::chrono::duration<double>(*every));
      auto stores = OrFail(ClientOf(context).Call(&Stub::ListStores, v1::ListStoresRequest()));
      auto groups = OrFail(ClientOf(context).Call(&Stub::ListGroups, v1::ListGroupsRequest()));
      auto operations =
          OrFail(ClientOf(context).Call(&Stub::ListOperations, v1::ListOperationsRequest()));
      v1::QueryResponse config = WholeConfig(context, 0, /*loads=*/true);
      if (context.json()) {
        std::cout << "{\"stores\": " << ToJson(stores) << ", \"groups\": " << ToJson(groups)
                  << ", \"operations\": " << ToJson(operations) << "}\n";
      } else {
        // Over what was shown before, if that was on a terminal.
        if (isatty(STDOUT_FILENO) != 0) std::cout << "\033[H\033[2J";
        std::cout << StoresText(stores) << "\n"
                  << GroupsText(groups) << "\n"
                  << BusyShardsText(config, 10) << "\n"
                  << OperationsText(operations);
      }
      std::cout.flush();
    }
  });
}

}  // namespace kvd::kvctl
