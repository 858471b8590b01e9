// Real stores on the network of a sandbox, for faults: they may be ended, wrapped, wiped and
// replaced, and it is known of each whether it may end by itself. One thread.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/src/cluster_client.h"
#include "tests/cluster/network.h"

namespace kvd {

// How a store may end without being told to.
enum class Ending {
  kNone,     // it must go on
  kKilled,   // by SIGKILL, which leaves no word
  kOneLine,  // with a non-zero exit code and one line that says why
  kAny,      // either
};

struct ClusterSetup {
  int stores = 3;
  bool slow_links = false;
  std::vector<std::string> flags;
  // What to put before the words that start store n; runs in its namespace.
  std::function<std::vector<std::string>(int n)> launcher;
};

class FaultCluster {
 public:
  // Data and output of the stores go to `directory`.
  FaultCluster(std::string directory, ClusterSetup setup);
  ~FaultCluster();

  // Starts all stores and waits until three of them vote.
  absl::Status StartAll();

  int size() const { return static_cast<int>(stores_.size()); }
  Network& network() { return *network_; }
  const std::string& directory() const { return directory_; }
  std::string Address(int n) const;
  std::vector<std::string> Addresses() const;
  std::string DataDir(int n) const;
  std::string LogPath(int n) const { return DataDir(n) + ".log"; }
  pid_t Pid(int n) const { return At(n).pid; }
  bool Running(int n) const { return At(n).pid != 0; }
  // The id of the store at place n; 0 if not known yet.
  uint64_t StoreIdOf(int n) const { return At(n).id; }

  // Waits until it answers. The error tells how it ended.
  absl::Status Start(int n);
  void Kill(int n);
  // SIGTERM. A store that does not end well is a problem.
  void Stop(int n);
  // Store n may end like this from now on, until Recover.
  void MayEnd(int n, Ending ending) { At(n).may_end = ending; }
  // Store n's files were damaged: until it is replaced it may end with one line, whenever it meets
  // the damage.
  void MarkDamaged(int n) { At(n).damaged = true; }
  bool Damaged(int n) const { return At(n).damaged; }
  // Notes which stores have ended. Ends that are not allowed are problems.
  void Poll();
  // Waits for store n to end by itself; false if it did not.
  bool AwaitEnd(int n, int seconds);

  // Starts what does not run; a store that says its data is damaged or lost is wiped and replaced,
  // as an operator would. From here on nothing may end.
  absl::Status Recover();
  // Wipes store n, which does not run, and lets a new store take its place.
  absl::Status Replace(int n);
  // Empties the directory of store n, which does not run, or its raft/ alone.
  void LoseDisk(int n, bool log_alone);
  // Waits until the store at place n votes and the one with an id is no member, without a hand.
  absl::Status AwaitOwnPlace(int n, uint64_t replaced_id);
  // Makes the store at place n a voter instead of the one with an id.
  absl::Status TakePlace(int n, uint64_t replaced_id);

  // What store n tells of its group.
  absl::StatusOr<v1::GroupStatus> StatusOf(int n) const;
  // The place of the leader of the highest term; 0 if none is found in time.
  int Leader(int seconds = 10) const;
  // The places whose stores are members of the group, as its leader sees it.
  std::vector<int> Members() const;

  // Says what happens, with the time, on standard output.
  void Note(const std::string& what) const;
  void AddProblem(std::string problem);
  const std::vector<std::string>& problems() const { return problems_; }

 private:
  struct Store {
    pid_t pid = 0;
    uint64_t id = 0;
    Ending may_end = Ending::kNone;
    size_t log_begin = 0;  // where its present life begins in its log
    bool damaged = false;  // since it was last empty
  };

  Store& At(int n) { return stores_[static_cast<size_t>(n - 1)]; }
  const Store& At(int n) const { return stores_[static_cast<size_t>(n - 1)]; }
  bool MayEndWithOneLine(int n) const;
  std::vector<std::string> Words(int n) const;
  void Ended(int n, int exit_code);
  // Lines of its present life that say why it ended.
  std::vector<std::string> LastWords(int n) const;

  const std::string directory_;
  const ClusterSetup setup_;
  std::unique_ptr<Network> network_;
  std::vector<Store> stores_;
  bool bootstrapped_ = false;
  std::vector<std::string> problems_;
};

// Whether `condition` holds within `seconds`; asked every 20 ms.
bool Await(const std::function<bool()>& condition, int seconds);

}  // namespace kvd
