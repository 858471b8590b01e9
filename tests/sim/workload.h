// Clients of a simulated cluster: random operations over a few keys, with everything recorded.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "client/src/session.h"
#include "tests/check/linearizability.h"
#include "tests/sim/sim_network.h"

namespace kvd::sim {

struct WorkloadOptions {
  int keys = 5;
  int stores = 3;
  Duration pause_max = milliseconds(60);
  Duration deadline = milliseconds(4000);
  double multi_get_chance = 0;  // of an operation being one
};

// One client: one operation at a time, then a pause.
class SimClient {
 public:
  SimClient(Scheduler* scheduler, SimNetwork* network, Node node, const WorkloadOptions& options);

  void Start();
  void Stop() { stopped_ = true; }
  bool idle() const { return !busy_; }
  // Reads a key, once; recorded like all else. Requires: idle.
  void Read(const std::string& key);
  // One write and its read within ten seconds, to show that the cluster serves. `done(ok)`.
  void Probe(const std::function<void(bool)>& done);

  // What was done, by key. Unfinished operations count as unknown.
  std::map<std::string, std::vector<check::Operation>> history() const;
  uint64_t operations() const { return operations_; }
  uint64_t unknown() const { return unknown_; }
  uint64_t refused() const { return refused_; }  // of those: for want of room on a disk
  // Writes that were acknowledged, and when.
  struct Acknowledged {
    std::string key;
    Timestamp version;
    MonotonicTime when;
  };
  const std::vector<Acknowledged>& acknowledged() const { return acknowledged_; }
  // Multi-gets that were answered; each of their keys counts as a get in the history as well.
  struct MultiGet {
    std::vector<std::string> keys;
    MonotonicTime began;
    Timestamp at;
    std::vector<std::pair<std::string, std::string>> rows;  // of keys that were found, sorted
  };
  const std::vector<MultiGet>& multi_gets() const { return multi_gets_; }

 private:
  void ProbeUntil(MonotonicTime end, const std::function<void(bool)>& done);
  void Next();
  void GetSeveral();
  void GotSeveral(MultiGet get, const std::map<std::string, size_t>& positions,
                  const absl::StatusOr<client::ResponseItem>& answer);
  bool Unanswered(const absl::Status& status);
  void Pause();
  size_t Begin(const std::string& key, check::Operation op);
  void Run(const std::string& key, check::Operation op, client::RequestItem item);
  void Finished(const std::string& key, size_t position,
                const absl::StatusOr<client::ResponseItem>& answer);
  std::string Unique();

  Scheduler* const scheduler_;
  const Node node_;
  const WorkloadOptions options_;
  SimLoop loop_;
  SimCaller caller_;
  client::Session session_;
  bool stopped_ = false;
  bool busy_ = false;
  uint64_t next_value_ = 1;
  uint64_t operations_ = 0;
  uint64_t unknown_ = 0;
  uint64_t refused_ = 0;
  std::vector<Acknowledged> acknowledged_;
  std::vector<MultiGet> multi_gets_;
  std::map<std::string, std::vector<check::Operation>> history_;
  std::map<std::string, std::optional<std::string>> last_seen_;
  std::unique_ptr<Timer> timer_;
};

}  // namespace kvd::sim
