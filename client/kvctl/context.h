// What every kvctl command works with.
#pragma once

#include <CLI/CLI.hpp>
#include <chrono>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "client/src/cluster_client.h"
#include "kvd/client.h"

namespace kvd::kvctl {

struct Context {
  std::vector<std::string> addresses = {"127.0.0.1:7480"};
  std::string output = "text";
  uint64_t timeout_ms = 10'000;
  bool hex = false;  // keys and values on the command line are hexadecimal

  bool json() const { return output == "json"; }

  // Connected at first use and kept: a shell runs many commands.
  absl::StatusOr<Client*> client();
  client::ClusterClient cluster() const {
    return client::ClusterClient(addresses, std::chrono::milliseconds(timeout_ms));
  }
  // A command-line argument as bytes.
  absl::StatusOr<std::string> Bytes(const std::string& argument) const;

 private:
  std::unique_ptr<Client> client_;
};

// Ends the command with this status: printed as one line, turned into the exit code.
struct Failure {
  absl::Status status;
};

template <class T>
T OrFail(absl::StatusOr<T> value) {
  if (!value.ok()) throw Failure{value.status()};
  return *std::move(value);
}

// Exit code of a command that ran well but has nothing to show: a missing key, a failed condition.
inline constexpr int kNothing = 1;
// Exit code of a verification that found something wrong.
inline constexpr int kNotVerified = 1;

// Each adds its subcommands; a subcommand sets `*exit_code`.
void AddKvCommands(CLI::App& app, Context& context, int* exit_code);
void AddTransferCommands(CLI::App& app, Context& context, int* exit_code);
void AddClusterCommands(CLI::App& app, Context& context, int* exit_code);
void AddControllerCommands(CLI::App& app, Context& context, int* exit_code);
void AddVerifyCommand(CLI::App& app, Context& context, int* exit_code);
void AddRecoverCommand(CLI::App& app, Context& context, int* exit_code);
void AddShellCommand(CLI::App& app, Context& context, int* exit_code);

// Runs one command line without the program's name.
int RunCommand(const std::vector<std::string>& words, Context& context, bool in_shell);

}  // namespace kvd::kvctl
