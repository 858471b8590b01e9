// kvctl: the command line of kvd.
#include <cstdlib>

#include "absl/strings/escaping.h"
#include "client/kvctl/context.h"
#include "client/kvctl/format.h"

namespace kvd::kvctl {

absl::StatusOr<Client*> Context::client() {
  if (client_ == nullptr) {
    ClientOptions options;
    options.addresses = addresses;
    options.deadline = std::chrono::milliseconds(timeout_ms);
    auto connected = Client::Connect(options);
    if (!connected.ok()) return connected.status();
    client_ = *std::move(connected);
  }
  return client_.get();
}

absl::StatusOr<std::string> Context::Bytes(const std::string& argument) const {
  if (!hex) return argument;
  for (char c : argument) {
    if (!isxdigit(static_cast<unsigned char>(c)) || argument.size() % 2 != 0) {
      return absl::InvalidArgumentError("--hex: " + argument + " is not hexadecimal");
    }
  }
  return absl::HexStringToBytes(argument);
}

namespace {

constexpr const char* kFooter =
    "Exit codes: 0 done; 1 no such key, a condition did not hold, or verify found something\n"
    "wrong; 2 bad input; 3 no answer in time; 4 the outcome of a write is unknown; 5 refused in\n"
    "this state; 6 data is damaged; 7 other.";

}  // namespace

int RunCommand(const std::vector<std::string>& words, Context& context, bool in_shell) {
  CLI::App app("kvctl: talk to a kvd cluster.", "kvctl");
  int exit_code = 0;
  app.set_version_flag("--version", "kvctl 0.1.0");
  app.footer(kFooter);
  if (!in_shell) {
    app.add_option("--connect", context.addresses,
                   "HOST:PORT of any stores; may be repeated, or KVCTL_CONNECT")
        ->delimiter(',')
        ->envname("KVCTL_CONNECT")
        ->capture_default_str();
    app.add_option("--timeout-ms", context.timeout_ms, "How long a command may take")
        ->check(CLI::Range(1, 86'400'000))
        ->capture_default_str();
  }
  app.add_option("-o,--output", context.output, "text or json")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  app.add_flag("--hex", context.hex, "Keys and values on the command line are hexadecimal");
  app.require_subcommand(0, 1);
  app.fallthrough();
  AddKvCommands(app, context, &exit_code);
  AddTransferCommands(app, context, &exit_code);
  AddClusterCommands(app, context, &exit_code);
  AddControllerCommands(app, context, &exit_code);
  AddVerifyCommand(app, context, &exit_code);
  AddRecoverCommand(app, context, &exit_code);
  if (!in_shell) AddShellCommand(app, context, &exit_code);
  try {
    std::vector<std::string> reversed(words.rbegin(), words.rend());
    app.parse(reversed);
    if (app.get_subcommands().empty()) {
      throw Failure{absl::InvalidArgumentError("no command given; kvctl --help lists them")};
    }
  } catch (const CLI::Success& e) {
    return app.exit(e);
  } catch (const CLI::ParseError& e) {
    std::cerr << "kvctl: " << e.what() << "\nRun kvctl --help, or kvctl COMMAND --help.\n";
    return 2;
  } catch (const Failure& failure) {
    std::cout.flush();
    if (context.json()) {
      std::cout << "{\"error\": " << JsonText(std::string(failure.status.message()))
                << ", \"code\": \"" << absl::StatusCodeToString(failure.status.code()) << "\"}\n";
    } else {
      std::cerr << "kvctl: " << failure.status.message() << "\n";
    }
    return ExitCode(failure.status);
  }
  std::cout.flush();
  return exit_code;
}

}  // namespace kvd::kvctl

int main(int argc, char** argv) {
  kvd::kvctl::Context context;
  return kvd::kvctl::RunCommand(std::vector<std::string>(argv + 1, argv + argc), context, false);
}
