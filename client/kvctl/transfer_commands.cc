// import and export: whole key ranges to and from files, with progress, resumable.
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>

#include "absl/strings/str_cat.h"
#include "client/kvctl/context.h"
#include "client/kvctl/format.h"
#include "proto/key_range.h"
#include "raft/runtime/mutex.h"

namespace kvd::kvctl {
namespace {

// A bar on a terminal, nothing elsewhere; always a last line.
class Progress {
 public:
  Progress(std::string verb, uint64_t bytes_total)
      : verb_(std::move(verb)), bytes_total_(bytes_total), start_(Now()) {}

  void Show(uint64_t records, uint64_t bytes) {
    if (!isatty(2) || Now() - last_ < std::chrono::milliseconds(100)) return;
    last_ = Now();
    std::cerr << "\r" << Line(records, bytes) << "\x1b[K" << std::flush;
  }
  void Done(uint64_t records, uint64_t bytes) {
    std::cerr << (isatty(2) ? "\r" : "") << Line(records, bytes) << (isatty(2) ? "\x1b[K" : "")
              << "\n";
  }

 private:
  static std::chrono::steady_clock::time_point Now() { return std::chrono::steady_clock::now(); }

  std::string Line(uint64_t records, uint64_t bytes) const {
    double seconds = std::chrono::duration<double>(Now() - start_).count();
    std::string bar;
    if (bytes_total_ != 0) {
      constexpr int kWidth = 30;
      auto done = static_cast<int>(
          kWidth * std::min(1.0, static_cast<double>(bytes) / static_cast<double>(bytes_total_)));
      bar = "[" + std::string(static_cast<size_t>(done), '#') +
            std::string(static_cast<size_t>(kWidth - done), '.') + "] ";
    }
    return absl::StrCat(
        bar, verb_, " ", records, " records, ", HumanBytes(bytes), ", ",
        static_cast<uint64_t>(static_cast<double>(records) / std::max(seconds, 1e-3)),
        " records/s");
  }

  const std::string verb_;
  const uint64_t bytes_total_;
  const std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point last_{};
};

// Keeps up to `window` puts under way and knows up to which line all are acknowledged.
class Importer {
 public:
  Importer(Client* client, size_t window) : client_(client), window_(window) {}

  // Waits for room, then sends. False once a put has failed.
  bool Put(uint64_t line, const std::string& key, const std::string& value) {
    {
      MutexLock lock(&mutex_);
      while (open_.size() >= window_ && failure_.ok()) changed_.Wait(&mutex_);
      if (!failure_.ok()) return false;
      open_.insert(line);
    }
    client_->AsyncPut(key, value, {}, [this, line](const absl::StatusOr<WriteResult>& result) {
      MutexLock lock(&mutex_);
      if (result.ok()) {
        open_.erase(line);
      } else if (failure_.ok()) {
        failure_ = result.status();
      }
      ++ended_;
      changed_.NotifyAll();
    });
    ++sent_;
    return true;
  }

  absl::Status Wait() {
    MutexLock lock(&mutex_);
    while (ended_ != sent_) changed_.Wait(&mutex_);
    return failure_;
  }

  // All lines before this one are acknowledged; `next` if none is open.
  uint64_t AcknowledgedBefore(uint64_t next) {
    MutexLock lock(&mutex_);
    return open_.empty() ? next : *open_.begin();
  }

 private:
  Client* const client_;
  const size_t window_;
  uint64_t sent_ = 0;
  Mutex mutex_;
  ConditionVariable changed_;
  std::set<uint64_t> open_ ABSL_GUARDED_BY(mutex_);
  uint64_t ended_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
};

struct TransferArgs {
  std::string file;
  std::string format = "json";
  std::string prefix;
  bool resume = false;
  size_t window = 256;
};

// Of a file that was just tried to be opened.
Failure FileFailure(const std::string& path, const char* what) {
  return Failure{absl::InvalidArgumentError(path + what + std::strerror(errno))};
}

uint64_t ReadNumber(const std::string& path) {
  uint64_t n = 0;
  std::ifstream(path) >> n;
  return n;
}

void Import(Context& context, const TransferArgs& args) {
  bool from_stdin = args.file == "-";
  std::ifstream file;
  if (!from_stdin) file.open(args.file, std::ios::binary);
  if (!from_stdin && !file) throw FileFailure(args.file, " can't be read: ");
  std::istream& in = from_stdin ? std::cin : file;
  std::string state = args.file + ".kvctl-import";
  uint64_t skip = args.resume && !from_stdin ? ReadNumber(state) : 0;
  std::error_code ignored;
  Progress progress("imported", from_stdin ? 0 : std::filesystem::file_size(args.file, ignored));
  Importer importer(OrFail(context.client()), args.window);
  uint64_t line = 0, bytes = 0, records = 0;
  absl::Status status;
  for (std::string text; std::getline(in, text); ++line) {
    bytes += text.size() + 1;
    if (line < skip || text.empty()) continue;
    auto record = args.format == "json" ? ParseJsonRecord(text) : ParseRawRecord(text);
    if (!record) {
      status = absl::InvalidArgumentError(absl::StrCat(
          args.file, ":", line + 1, ": no ",
          args.format == "json" ? "JSON object with key and value" : "KEY TAB VALUE line"));
      break;
    }
    if (!importer.Put(line, record->first, record->second)) break;
    progress.Show(++records, bytes);
    if (!from_stdin && records % 10'000 == 0) {
      std::ofstream(state) << importer.AcknowledgedBefore(line + 1) << "\n";
    }
  }
  absl::Status sent = importer.Wait();
  if (status.ok()) status = sent;
  progress.Done(records, bytes);
  if (status.ok()) {
    std::filesystem::remove(state, ignored);
    if (context.json()) std::cout << "{\"imported\": " << records << "}\n";
    return;
  }
  if (!from_stdin) {
    std::ofstream(state) << importer.AcknowledgedBefore(line) << "\n";
    std::cerr << "kvctl: go on with: kvctl import --resume " << args.file << "\n";
  }
  throw Failure{status};
}

// The key of the last whole line of an export; cuts a torn one off.
std::optional<std::string> LastKey(const TransferArgs& args) {
  std::ifstream in(args.file, std::ios::binary);
  std::string line, last;
  uint64_t whole = 0;
  while (std::getline(in, line)) {
    if (in.eof()) break;  // no newline behind it: torn
    last = line;
    whole += line.size() + 1;
  }
  in.close();
  std::error_code ignored;
  if (std::filesystem::exists(args.file)) std::filesystem::resize_file(args.file, whole, ignored);
  if (last.empty()) return std::nullopt;
  auto record = args.format == "json" ? ParseJsonRecord(last) : ParseRawRecord(last);
  if (!record)
    throw Failure{absl::InvalidArgumentError(args.file + " is no export in this format")};
  return record->first;
}

void Export(Context& context, const TransferArgs& args) {
  ScanOptions options;
  options.start = OrFail(context.Bytes(args.prefix));
  options.end = PrefixEnd(options.start);
  bool to_stdout = args.file == "-";
  if (args.resume && !to_stdout) {
    if (auto key = LastKey(args)) options.start = *key + '\0';
  }
  std::ofstream file;
  if (!to_stdout) {
    file.open(args.file, std::ios::binary | (args.resume ? std::ios::app : std::ios::trunc));
    if (!file) throw FileFailure(args.file, " can't be written: ");
  }
  std::ostream& out = to_stdout ? std::cout : file;
  options.read.deadline = std::chrono::hours(24);
  Progress progress("exported", 0);
  uint64_t records = 0, bytes = 0;
  auto scanner = OrFail(context.client())->Scan(options);
  while (scanner->Next()) {
    const std::string& value = scanner->value().bytes;
    if (args.format == "json") {
      out << "{" << JsonBytes("key", scanner->key()) << ", " << JsonBytes("value", value) << "}\n";
    } else {
      out << Escape(scanner->key()) << "\t" << Escape(value) << "\n";
    }
    bytes += scanner->key().size() + value.size();
    progress.Show(++records, bytes);
    if (!out)
      throw Failure{
          absl::ResourceExhaustedError(args.file + ": writing failed; is the disk full?")};
  }
  out.flush();
  progress.Done(records, bytes);
  if (scanner->status().ok() && out && context.json() && !to_stdout) {
    std::cout << "{\"exported\": " << records << "}\n";
  }
  if (!scanner->status().ok()) throw Failure{scanner->status()};
  if (!out)
    throw Failure{absl::ResourceExhaustedError(args.file + ": writing failed; is the disk full?")};
}

}  // namespace

void AddTransferCommands(CLI::App& app, Context& context, int* exit_code) {
  (void)exit_code;
  auto import_args = std::make_shared<TransferArgs>();
  CLI::App* import_command = app.add_subcommand("import", "Put every record of a file");
  import_command->add_option("file", import_args->file, "The file; - for standard input")
      ->required();
  import_command
      ->add_option("--format", import_args->format,
                   "json: a JSON object a line; raw: KEY TAB VALUE")
      ->check(CLI::IsMember({"json", "raw"}))
      ->capture_default_str();
  import_command->add_flag("--resume", import_args->resume,
                           "Go on where an import of this file stopped");
  import_command->add_option("--window", import_args->window, "Puts under way at once")
      ->check(CLI::Range(1, 16384))
      ->capture_default_str();
  import_command->callback([&context, import_args] { Import(context, *import_args); });

  auto export_args = std::make_shared<TransferArgs>();
  CLI::App* export_command =
      app.add_subcommand("export", "Write every key and value, at one timestamp, to a file");
  export_command->add_option("file", export_args->file, "The file; - for standard output")
      ->required();
  export_command->add_option("--prefix", export_args->prefix, "Only keys that start with this");
  export_command
      ->add_option("--format", export_args->format,
                   "json: a JSON object a line; raw: KEY TAB VALUE")
      ->check(CLI::IsMember({"json", "raw"}))
      ->capture_default_str();
  export_command->add_flag("--resume", export_args->resume,
                           "Go on behind the last record in the file");
  export_command->callback([&context, export_args] { Export(context, *export_args); });
}

}  // namespace kvd::kvctl
