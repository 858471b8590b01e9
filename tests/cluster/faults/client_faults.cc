// Clients that flood, lie or never listen.
#include "absl/strings/str_cat.h"
#include "tests/cluster/bad_clients.h"
#include "tests/cluster/faults/fault.h"

namespace kvd {
namespace {

class BadClientFault : public Fault {
 public:
  void Inject(FaultCluster& cluster, Random& random) override {
    int n = random.Chance(0.5) ? LeaderOrAny(cluster, random) : AnyStore(cluster, random);
    clients_ = std::make_unique<BadClients>(Network::HostOf(n), 7480);
    cluster.Note(absl::StrCat("bad clients of store ", n, ": ", Act(*clients_, random)));
  }
  void Heal(FaultCluster& cluster, Random&) override {
    cluster.Note(absl::StrCat(clients_->connected(), " connections were made"));
    clients_.reset();
  }

 private:
  // What they do, for a person to read.
  virtual std::string Act(BadClients& clients, Random& random) = 0;

  std::unique_ptr<BadClients> clients_;
};

class ConnectionFlood : public BadClientFault {
  std::string Act(BadClients& clients, Random& random) override {
    auto count = static_cast<int>(random.Between(200, 2000));
    clients.Flood(count);
    return absl::StrCat("a flood of ", count, " connections");
  }
};

class Misbehaviour : public BadClientFault {
  std::string Act(BadClients& clients, Random& random) override {
    switch (random.Below(6)) {
      case 0: clients.Garbage(random.Next()); return "garbage";
      case 1: clients.HalfOpen(200); return "requests that never end";
      case 2: clients.RapidReset(); return "streams that are reset at once";
      case 3: clients.EndlessHeaders(); return "headers without an end";
      case 4: clients.GiantMessages(); return "messages of 64 MiB";
      default: clients.SlowReaders(50); return "scans that nobody reads";
    }
  }
};

}  // namespace

std::vector<FaultKind> ClientFaults() {
  return {
      {"flood", "200 to 2,000 connections to one store that say nothing", "nobody notices", true,
       500, 4000, MakeFault<ConnectionFlood>},
      {"bad-clients",
       "garbage, half requests, rapid resets, endless headers, 64 MiB messages or unread scans at "
       "one store",
       "others are served", true, 500, 4000, MakeFault<Misbehaviour>},
  };
}

}  // namespace kvd
