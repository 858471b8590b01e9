// The one place where a kvd daemon is put together, started and stopped.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "raft/core/core.h"
#include "raft/host.h"

namespace kvd::server {

struct ServerOptions {
  std::string data_dir = "kvd-data";
  std::string listen = "127.0.0.1:7480";
  std::string advertise;          // empty: as listen
  std::string http_listen;        // empty: none
  std::vector<std::string> join;  // stores of the cluster to join
  bool bootstrap = false;         // start a new cluster
  uint64_t cluster_id = 0;        // refuse any other; 0: whichever it is
  uint64_t election_timeout_ms = 600;
  uint64_t heartbeat_ms = 100;
  uint64_t retention_s = 600;
  std::string read_mode = "lease";
  uint64_t block_cache_mb = 256;
  uint64_t row_cache_mb = 32;  // 0: none
  uint64_t write_buffer_mb = 16;
  uint64_t log_keep_mb = 128;
  uint64_t cores = 0;               // that it may use; 0: all of the machine
  std::vector<std::string> labels;  // NAME=VALUE: zone, rack, disk, ...
  uint64_t disk_low_water_mb = 0;   // 0: by the size of the disk
  uint64_t disk_reserve_mb = 0;     // 0: by the size of the disk
  // Replaces this process by a new one on the same data directory; returns only if that fails.
  // Without it the process ends, for whoever looks after it to start it again.
  std::function<void()> start_anew;
};

// Empty, or what is wrong: names flag, value and range.
std::string Validate(const ServerOptions& options);

class Server {
 public:
  // Opens the data directory and listens; the error names the flag and the remedy. Joining goes on
  // in the background once this returns.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerOptions& options);
  ~Server();

  // Hands leadership over, flushes, ends; at most about 5 s. Thread-safe, once.
  void Stop();

  // The address that clients use, host:port with the port really bound.
  const std::string& address() const;
  const std::string& http_address() const;

 private:
  struct Parts;
  explicit Server(std::unique_ptr<Parts> parts);
  const std::unique_ptr<Parts> parts_;
};

}  // namespace kvd::server
