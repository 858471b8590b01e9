// The kvd daemon: flags, the configuration file, signals.
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <iostream>

#include "absl/synchronization/mutex.h"
#include "server/server.h"

// Read by jemalloc, if it is the allocator: one loop does nearly all the work, so more arenas would
// only hold more, and what a burst has freed goes back within a second.
extern "C" {
extern const char* malloc_conf;
const char* malloc_conf = "narenas:2,dirty_decay_ms:1000,muzzy_decay_ms:0";
}

namespace {

constexpr const char* kDescription =
    "kvd: a sharded, strongly consistent key-value database.\n"
    "\n"
    "Without flags it starts a cluster of one store in ./kvd-data and serves on 127.0.0.1:7480.\n"
    "Two more stores make it survive the loss of any one of them:\n"
    "\n"
    "  kvd --listen 127.0.0.1:7490 --data-dir kvd-data-2 --join 127.0.0.1:7480\n"
    "  kvd --listen 127.0.0.1:7500 --data-dir kvd-data-3 --join 127.0.0.1:7480\n"
    "\n"
    "Talk to it with kvctl.";

void AddFlags(CLI::App& app, kvd::server::ServerOptions& o) {
  app.add_option("--data-dir", o.data_dir, "Directory for this store's data")
      ->capture_default_str();
  app.add_option("--listen", o.listen, "HOST:PORT to serve gRPC on")->capture_default_str();
  app.add_option("--advertise", o.advertise,
                 "HOST:PORT that others reach this store at (default: as --listen)");
  app.add_option("--http-listen", o.http_listen,
                 "HOST:PORT for /metrics and /healthz, or none (default: the port after --listen)");
  app.add_option("--join", o.join, "HOST:PORT of any store of the cluster to join; may be repeated")
      ->delimiter(',');
  app.add_flag("--bootstrap", o.bootstrap, "Start a new cluster; needed only when not on loopback");
  app.add_option("--cluster-id", o.cluster_id, "Refuse to run in any other cluster (0: any)")
      ->capture_default_str();
  app.add_option("--election-timeout-ms", o.election_timeout_ms,
                 "Without a leader's sign for this long, elect")
      ->capture_default_str();
  app.add_option("--heartbeat-ms", o.heartbeat_ms, "Between a leader's signs of life")
      ->capture_default_str();
  app.add_option("--retention-s", o.retention_s,
                 "Seconds of history kept for snapshot reads and retries")
      ->capture_default_str();
  app.add_option("--read-mode", o.read_mode,
                 "How linearizable reads are confirmed: lease or read-index")
      ->capture_default_str();
  app.add_option("--block-cache-mb", o.block_cache_mb, "Memory for cached data, MiB")
      ->capture_default_str();
  app.add_option("--row-cache-mb", o.row_cache_mb,
                 "Memory for values that were read lately, MiB (0: none)")
      ->capture_default_str();
  app.add_option("--write-buffer-mb", o.write_buffer_mb,
                 "Memory for unflushed data, MiB; up to three of these")
      ->capture_default_str();
  app.add_option("--log-keep-mb", o.log_keep_mb, "Raft log kept for followers that lag, MiB")
      ->capture_default_str();
  app.add_option("--disk-low-water-mb", o.disk_low_water_mb,
                 "With less free disk no data is added, only read and deleted, MiB (0: 1024, at "
                 "most 5 % of the disk, but what the buffers need)")
      ->capture_default_str();
  app.add_option("--disk-reserve-mb", o.disk_reserve_mb,
                 "Disk kept in the file RESERVE for that time, MiB (0: 256, at most 2 % of the "
                 "disk, but what the buffers need)")
      ->capture_default_str();
  app.add_option("--cores", o.cores,
                 "Cores that this store may use: what it has decides how many groups there are and "
                 "who gets how much (0: all of the machine)")
      ->capture_default_str();
  app.add_option(
      "--label", o.labels,
      "NAME=VALUE, may be repeated: stores of one zone never get all replicas of a group "
      "where there are others");
}

// A negative number would be taken for a very large one.
void RefuseNegative(CLI::App& app) {
  CLI::Validator check(
      [](const std::string& value) {
        return value.rfind('-', 0) == 0 ? value + ", must be 0 or more" : std::string();
      },
      "");
  for (CLI::Option* option : app.get_options()) {
    if (option->get_type_name() == "UINT") option->check(check);
  }
}

// A message as the inside of a JSON string.
class JsonMessage : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&,
              spdlog::memory_buf_t& out) override {
    static constexpr char kHex[] = "0123456789abcdef";
    for (char c : message.payload) {
      auto u = static_cast<unsigned char>(c);
      if (c == '"' || c == '\\') {
        out.push_back('\\');
        out.push_back(c);
      } else if (u < 0x20) {
        for (char e : {'\\', 'u', '0', '0', kHex[u >> 4], kHex[u & 15]}) out.push_back(e);
      } else {
        out.push_back(c);
      }
    }
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<JsonMessage>();
  }
};

void SetUpLogging(const std::string& level, const std::string& format) {
  auto logger = spdlog::stderr_logger_mt("kvd");
  spdlog::set_default_logger(logger);
  spdlog::set_level(spdlog::level::from_str(level));
  if (format == "json") {
    auto formatter = std::make_unique<spdlog::pattern_formatter>();
    formatter->add_flag<JsonMessage>('*').set_pattern(
        R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l","message":"%*"})");
    spdlog::set_formatter(std::move(formatter));
  } else {
    spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%e %L %v");
  }
  spdlog::flush_on(spdlog::level::info);
}

// The same program with the same flags in this process, whatever its file is called by now. All of
// its threads end here, and nothing stays open.
void StartAnew(char** argv) {
  (void)close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
  execv("/proc/self/exe", argv);
}

}  // namespace

int main(int argc, char** argv) {
  kvd::server::ServerOptions options;
  std::string log_level = "info";
  std::string log_format = "text";
  CLI::App app(kDescription, "kvd");
  app.set_version_flag("--version", "kvd 0.1.0");
  app.set_config("--config", "", "TOML file with any of these flags, without the dashes");
  app.allow_config_extras(CLI::config_extras_mode::error);
  AddFlags(app, options);
  RefuseNegative(app);
  app.add_option("--log-level", log_level, "trace, debug, info, warn or error")
      ->check(CLI::IsMember({"trace", "debug", "info", "warn", "error"}))
      ->capture_default_str();
  app.add_option("--log-format", log_format, "text or json")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& e) {
    return app.exit(e);
  } catch (const CLI::ParseError& e) {
    std::cerr << "kvd: " << e.what() << "\nRun kvd --help for the flags.\n";
    return 2;
  }
  SetUpLogging(log_level, log_format);

  // Debian builds Abseil with its search for lock cycles: 2 % of the CPU time, all of it in gRPC.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  // Before any thread starts, so that only sigwait below sees them.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);

  options.start_anew = [argv] { StartAnew(argv); };
  auto server = kvd::server::Server::Start(options);
  if (absl::IsCancelled(server.status())) {
    spdlog::info("stopping: {}", std::string(server.status().message()));
    return 0;
  }
  if (!server.ok()) {
    std::cerr << "kvd: " << server.status().message() << "\n";
    return server.status().code() == absl::StatusCode::kInvalidArgument ? 2 : 1;
  }
  int signal = 0;
  sigwait(&signals, &signal);
  spdlog::info("stopping signal={}", signal);
  (*server)->Stop();
  return 0;
}
