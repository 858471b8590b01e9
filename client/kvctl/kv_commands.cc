// get, put, append, delete, cas, incr, scan.
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "client/kvctl/context.h"
#include "client/kvctl/format.h"
#include "proto/key_range.h"

namespace kvd::kvctl {
namespace {

struct ValueSource {
  std::string argument;
  std::string file;

  void AddTo(CLI::App* command) {
    command->add_option("value", argument, "The value; - or nothing: standard input");
    command->add_option("--file", file, "Take the value from this file");
  }

  std::string Read(const Context& context) const {
    if (!file.empty()) {
      std::ifstream in(file, std::ios::binary);
      if (!in)
        throw Failure{absl::InvalidArgumentError("--file " + file +
                                                 " can't be read: " + std::strerror(errno))};
      return std::string(std::istreambuf_iterator<char>(in), {});
    }
    if (argument.empty() || argument == "-") {
      return std::string(std::istreambuf_iterator<char>(std::cin), {});
    }
    return OrFail(context.Bytes(argument));
  }
};

int ShowWrite(const Context& context, const WriteResult& result, const std::string& json_extra,
              const std::string& text) {
  if (context.json()) {
    std::cout << "{\"applied\": " << (result.applied ? "true" : "false")
              << ", \"version\": " << result.version << json_extra;
    if (!result.applied) std::cout << ", \"current_version\": " << result.current_version;
    std::cout << "}\n";
  } else if (!result.applied) {
    std::cout << "not applied: the condition does not hold (current version "
              << result.current_version << ")\n";
  } else if (!text.empty()) {
    std::cout << text << "\n";
  }
  return result.applied ? 0 : kNothing;
}

void AddGet(CLI::App& app, Context& context, int* exit_code) {
  struct Args {
    std::string key;
    bool stale = false;
    uint64_t at = 0;
    bool with_version = false;
  };
  auto args = std::make_shared<Args>();
  CLI::App* command = app.add_subcommand("get", "Print a key's value");
  command->add_option("key", args->key, "The key")->required();
  command->add_flag("--stale", args->stale, "Any replica may answer, up to 10 s behind");
  command->add_option("--at", args->at, "As of this timestamp");
  command->add_flag("--version", args->with_version, "Print the version before the value");
  command->callback([&context, args, exit_code] {
    ReadOptions options;
    if (args->stale) options.consistency = Consistency::kBoundedStale;
    if (args->at != 0) {
      options.consistency = Consistency::kSnapshot;
      options.timestamp = args->at;
    }
    std::string key = OrFail(context.Bytes(args->key));
    auto value = OrFail(OrFail(context.client())->Get(key, options));
    *exit_code = value ? 0 : kNothing;
    if (context.json()) {
      std::cout << "{" << JsonBytes("key", key) << ", \"found\": " << (value ? "true" : "false");
      if (value)
        std::cout << ", " << JsonBytes("value", value->bytes)
                  << ", \"version\": " << value->version;
      std::cout << "}\n";
    } else if (value) {
      if (args->with_version) std::cout << value->version << "\t";
      std::cout << (context.hex ? absl::BytesToHexString(value->bytes) : value->bytes);
      // A newline for people; a pipe gets exactly the value.
      if (isatty(1) || args->with_version || context.hex) std::cout << "\n";
    } else {
      std::cerr << "kvctl: no such key: " << Escape(key) << "\n";
    }
  });
}

void AddPut(CLI::App& app, Context& context, int* exit_code) {
  struct Args {
    std::string key;
    ValueSource value;
    uint64_t ttl_ms = 0;
    bool if_absent = false;
    uint64_t if_version = 0;
  };
  auto args = std::make_shared<Args>();
  CLI::App* command = app.add_subcommand("put", "Set a key's value");
  command->add_option("key", args->key, "The key")->required();
  args->value.AddTo(command);
  command->add_option("--ttl-ms", args->ttl_ms, "Milliseconds until it expires");
  command->add_flag("--if-absent", args->if_absent, "Only if the key does not exist");
  command->add_option("--if-version", args->if_version, "Only if this is its version");
  command->callback([&context, args, exit_code] {
    std::string key = OrFail(context.Bytes(args->key));
    WriteOptions options;
    options.ttl = std::chrono::milliseconds(args->ttl_ms);
    if (args->if_absent) options.conditions.push_back(Condition::Absent(key));
    if (args->if_version != 0) {
      options.conditions.push_back(Condition::VersionEquals(key, args->if_version));
    }
    auto result = OrFail(OrFail(context.client())->Put(key, args->value.Read(context), options));
    *exit_code = ShowWrite(context, result, "", absl::StrCat("OK version ", result.version));
  });
}

void AddAppend(CLI::App& app, Context& context, int* exit_code) {
  auto key = std::make_shared<std::string>();
  auto value = std::make_shared<ValueSource>();
  CLI::App* command = app.add_subcommand("append", "Append bytes to a key's value");
  command->add_option("key", *key, "The key")->required();
  value->AddTo(command);
  command->callback([&context, key, value, exit_code] {
    auto result =
        OrFail(OrFail(context.client())->Append(OrFail(context.Bytes(*key)), value->Read(context)));
    *exit_code = ShowWrite(context, result, absl::StrCat(", \"length\": ", result.length),
                           absl::StrCat("OK length ", result.length));
  });
}

void AddDelete(CLI::App& app, Context& context, int* exit_code) {
  struct Args {
    std::string key;
    std::string prefix;
    std::vector<std::string> range;
  };
  auto args = std::make_shared<Args>();
  CLI::App* command = app.add_subcommand("delete", "Delete a key, a prefix or a range");
  command->add_option("key", args->key, "The key");
  command->add_option("--prefix", args->prefix, "Every key that starts with this");
  command->add_option("--range", args->range, "START END: every key from START, before END")
      ->expected(2);
  command->callback([&context, args, exit_code] {
    Client* client = OrFail(context.client());
    int given = !args->key.empty() + !args->prefix.empty() + !args->range.empty();
    if (given != 1)
      throw Failure{absl::InvalidArgumentError("name one of: a key, --prefix, --range")};
    if (!args->key.empty()) {
      auto result = OrFail(client->Delete(OrFail(context.Bytes(args->key))));
      ShowWrite(context, result, absl::StrCat(", \"existed\": ", result.existed ? "true" : "false"),
                result.existed ? "OK" : "OK (there was no such key)");
      *exit_code = result.existed ? 0 : kNothing;
      return;
    }
    std::string start, end;
    if (args->range.empty()) {
      start = OrFail(context.Bytes(args->prefix));
      end = PrefixEnd(start);
    } else {
      start = OrFail(context.Bytes(args->range[0]));
      end = OrFail(context.Bytes(args->range[1]));
    }
    auto result = OrFail(client->DeleteRange(start, end));
    if (context.json()) {
      std::cout << "{\"deleted\": " << result.deleted << "}\n";
    } else {
      std::cout << "OK deleted " << result.deleted << "\n";
    }
  });
}

void AddCas(CLI::App& app, Context& context, int* exit_code) {
  struct Args {
    std::string key, expected, value;
    bool absent = false;
  };
  auto args = std::make_shared<Args>();
  CLI::App* command =
      app.add_subcommand("cas", "Compare and set: put VALUE if the key holds EXPECTED");
  command->add_option("key", args->key, "The key")->required();
  command->add_option("expected", args->expected, "What it must hold now")->required();
  command->add_option("value", args->value, "What it shall hold then")->required();
  command->callback([&context, args, exit_code] {
    std::string key = OrFail(context.Bytes(args->key));
    WriteOptions options;
    options.conditions = {Condition::ValueEquals(key, OrFail(context.Bytes(args->expected)))};
    auto result =
        OrFail(OrFail(context.client())->Put(key, OrFail(context.Bytes(args->value)), options));
    *exit_code = ShowWrite(context, result, "", absl::StrCat("OK version ", result.version));
  });
}

void AddIncr(CLI::App& app, Context& context, int* exit_code) {
  auto key = std::make_shared<std::string>();
  auto delta = std::make_shared<int64_t>(1);
  CLI::App* command =
      app.add_subcommand("incr", "Add to a decimal counter; a missing key counts as 0");
  command->add_option("key", *key, "The key")->required();
  command->add_option("delta", *delta, "How much to add")->capture_default_str();
  command->callback([&context, key, delta, exit_code] {
    auto result = OrFail(OrFail(context.client())->Increment(OrFail(context.Bytes(*key)), *delta));
    *exit_code = ShowWrite(context, result, absl::StrCat(", \"counter\": ", result.counter),
                           std::to_string(result.counter));
  });
}

void AddScan(CLI::App& app, Context& context, int* exit_code) {
  struct Args {
    std::string prefix, start, end;
    uint64_t limit = 0, at = 0;
    bool reverse = false, keys_only = false, count = false, stale = false;
  };
  auto args = std::make_shared<Args>();
  CLI::App* command = app.add_subcommand("scan", "List keys in order, as KEY TAB VALUE");
  command->add_option("prefix", args->prefix, "Keys that start with this");
  command->add_option("--start", args->start, "From this key on");
  command->add_option("--end", args->end, "Before this key");
  command->add_option("--limit", args->limit, "At most this many");
  command->add_option("--at", args->at, "As of this timestamp");
  command->add_flag("--reverse", args->reverse, "From the last key backwards");
  command->add_flag("--keys-only", args->keys_only, "Without values");
  command->add_flag("--count", args->count, "Only count");
  command->add_flag("--stale", args->stale, "Any replica may answer, up to 10 s behind");
  command->callback([&context, args, exit_code] {
    ScanOptions options;
    options.start = OrFail(context.Bytes(args->prefix.empty() ? args->start : args->prefix));
    options.end =
        args->prefix.empty() ? OrFail(context.Bytes(args->end)) : PrefixEnd(options.start);
    options.limit = args->limit;
    options.reverse = args->reverse;
    options.keys_only = args->keys_only;
    options.count_only = args->count;
    if (args->stale) options.read.consistency = Consistency::kBoundedStale;
    if (args->at != 0) {
      options.read.consistency = Consistency::kSnapshot;
      options.read.timestamp = args->at;
    }
    auto scanner = OrFail(context.client())->Scan(options);
    while (scanner->Next()) {
      if (context.json()) {
        std::cout << "{" << JsonBytes("key", scanner->key());
        if (!args->keys_only) std::cout << ", " << JsonBytes("value", scanner->value().bytes);
        std::cout << ", \"version\": " << scanner->value().version << "}\n";
      } else {
        std::cout << Escape(scanner->key());
        if (!args->keys_only) std::cout << "\t" << Escape(scanner->value().bytes);
        std::cout << "\n";
      }
    }
    if (!scanner->status().ok()) throw Failure{scanner->status()};
    if (!args->count) return;
    if (context.json()) {
      std::cout << "{\"count\": " << scanner->count() << "}\n";
    } else {
      std::cout << scanner->count() << "\n";
    }
    *exit_code = 0;
  });
}

}  // namespace

void AddKvCommands(CLI::App& app, Context& context, int* exit_code) {
  AddGet(app, context, exit_code);
  AddPut(app, context, exit_code);
  AddAppend(app, context, exit_code);
  AddDelete(app, context, exit_code);
  AddCas(app, context, exit_code);
  AddIncr(app, context, exit_code);
  AddScan(app, context, exit_code);
}

}  // namespace kvd::kvctl
