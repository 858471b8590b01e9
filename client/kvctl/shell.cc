// The interactive shell: the same commands, with history and completion.
#include <editline/readline.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "absl/strings/match.h"
#include "client/kvctl/context.h"
#include "client/kvctl/words.h"

namespace kvd::kvctl {
namespace {

constexpr const char* kWords[] = {"append",
                                  "cas",
                                  "config list",
                                  "config show",
                                  "delete",
                                  "exit",
                                  "explain shard",
                                  "export",
                                  "get",
                                  "group list",
                                  "group show",
                                  "help",
                                  "import",
                                  "incr",
                                  "member add",
                                  "member list",
                                  "member remove",
                                  "member replace",
                                  "member transfer",
                                  "op cancel",
                                  "op list",
                                  "op show",
                                  "put",
                                  "quit",
                                  "scan",
                                  "setting list",
                                  "setting set",
                                  "shard list",
                                  "shard merge",
                                  "shard move",
                                  "shard scatter",
                                  "shard show",
                                  "shard split",
                                  "status",
                                  "store drain",
                                  "store label",
                                  "store list",
                                  "store remove",
                                  "store show",
                                  "store undrain",
                                  "top",
                                  "verify"};

char* NextWord(const char* text, int state) {
  static size_t next;
  if (state == 0) next = 0;
  while (next < std::size(kWords)) {
    const char* word = kWords[next++];
    if (std::strncmp(word, text, std::strlen(text)) == 0) return strdup(word);
  }
  return nullptr;
}

char** Complete(const char* text, int start, int) {
  return start == 0 ? rl_completion_matches(text, NextWord) : nullptr;
}

std::string HistoryFile() {
  const char* home = std::getenv("HOME");
  return home == nullptr ? "" : std::string(home) + "/.kvctl_history";
}

// One line of input; nothing at the end.
std::optional<std::string> ReadLine() {
  if (!isatty(0)) {
    std::string line;
    if (!std::getline(std::cin, line)) return std::nullopt;
    return line;
  }
  char* line = readline("kvctl> ");
  if (line == nullptr) {
    std::cout << "\n";
    return std::nullopt;
  }
  std::string text = line;
  free(line);
  if (!text.empty()) add_history(text.c_str());
  return text;
}

void RunShell(Context& context, int* exit_code) {
  bool interactive = isatty(0);
  std::string history = HistoryFile();
  if (interactive) {
    using_history();
    if (!history.empty()) read_history(history.c_str());
    rl_attempted_completion_function = Complete;
    std::cout << "kvctl shell. Type help for the commands, exit to leave.\n";
  }
  while (auto line = ReadLine()) {
    std::vector<std::string> words;
    if (!SplitWords(*line, &words)) {
      std::cerr << "kvctl: a quote is not closed\n";
      *exit_code = 2;
      continue;
    }
    if (words.empty() || words[0][0] == '#') continue;
    if (words[0] == "exit" || words[0] == "quit") break;
    if (words[0] == "help") words = {"--help"};
    *exit_code = RunCommand(words, context, /*in_shell=*/true);
  }
  if (interactive && !history.empty()) write_history(history.c_str());
}

}  // namespace

void AddShellCommand(CLI::App& app, Context& context, int* exit_code) {
  app.add_subcommand("shell", "Run commands interactively, or from standard input")
      ->callback([&context, exit_code] { RunShell(context, exit_code); });
}

}  // namespace kvd::kvctl
