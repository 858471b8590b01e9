// A cluster of one store, on loopback: nobody can help it, what it answers is its own.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <string>

#include "client/src/cluster_client.h"
#include "kvd/client.h"

namespace kvd {

class LoneStore {
 public:
  LoneStore(std::string directory, int port) : directory_(std::move(directory)), port_(port) {}
  ~LoneStore() { Kill(); }

  // True once it takes writes, false if it ended.
  bool Start();
  void Kill();
  // Reaps it if it has ended by itself.
  bool Ended();
  // Of a store that ended by itself.
  int exit_code() const { return exit_code_; }
  // What it printed since the last start.
  std::string Log() const;

  absl::StatusOr<v1::StatusResponse> Status() const;
  std::unique_ptr<Client> Connect(std::chrono::milliseconds deadline) const;

 private:
  std::string Address() const;
  std::string LogPath() const { return directory_ + ".log"; }

  const std::string directory_;
  const int port_;
  pid_t pid_ = 0;
  int exit_code_ = 0;
};

}  // namespace kvd
