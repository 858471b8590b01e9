// Real kvd processes on loopback with data on the real disk, for tests. Everything ends with it.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kvd/client.h"
#include "kvd/v1/cluster.pb.h"
#include "tests/cluster/process.h"
#include "tests/scratch_directory.h"

namespace kvd {

// What a store says of its replica of the first data group; null if it has none.
const v1::GroupStatus* DataGroupOf(const v1::StatusResponse& status);

// A port that nothing listens on now, with the next one free as well.
int FreePortPair();

class MiniCluster {
 public:
  // Starts `stores` stores, of one core each unless `flags` say otherwise, and waits until those
  // groups and the controller have grown to what they should be. `prepare` is called before the
  // first one starts: for what their data directories lie on.
  explicit MiniCluster(int stores, std::vector<std::string> flags = {},
                       const std::function<void(const MiniCluster&)>& prepare = nullptr);
  ~MiniCluster();

  // One more store, which joins; its number.
  int Add();
  int size() const { return static_cast<int>(stores_.size()); }
  // Starts store n (from 1) if it does not run. False if it ended at once.
  bool Start(int n);
  // Starts store n and does not wait for it.
  void Launch(int n);
  void Kill(int n);      // SIGKILL, and waits
  int Terminate(int n);  // SIGTERM; its exit code
  // The exit code of store n, which ends by itself within `seconds`; nothing if it does not.
  std::optional<int> AwaitEnd(int n, int seconds = 30);
  bool Running(int n) const { return stores_[Slot(n)].pid != 0; }
  pid_t Pid(int n) const { return stores_[Slot(n)].pid; }
  std::string Address(int n) const;
  std::string Addresses() const;  // comma-separated
  std::string HttpAddress(int n) const;
  std::string DataDir(int n) const;
  std::string Log(int n) const;

  // What store n tells Prometheus.
  std::string Metrics(int n) const;
  // One of them, by name and labels as printed; -1 if it is not told.
  double Metric(int n, const std::string& name) const;

  // The store that leads the first data group, 0 if none is known within `seconds`.
  int Leader(int seconds = 15);
  // Whether `condition` holds within `seconds`.
  static bool Await(const std::function<bool()>& condition, int seconds = 20);
  // Whether all running replicas of the first data group have applied the same index within 20 s.
  bool Converged();

  std::unique_ptr<Client> Connect(std::chrono::milliseconds deadline = std::chrono::seconds(10));
  // kvctl against this cluster.
  Finished Kvctl(std::vector<std::string> words, const std::string& input = "");

 private:
  struct Store {
    int port = 0;
    pid_t pid = 0;
  };
  // Whether the groups have as many voters as `stores` stores can give them.
  bool HasGrown(int stores) const;
  static size_t Slot(int n) { return static_cast<size_t>(n - 1); }

  const std::vector<std::string> flags_;
  ScratchDirectory directory_;
  std::vector<Store> stores_;
};

}  // namespace kvd
