#include "tests/cluster/process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <iterator>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/scratch_directory.h"

namespace kvd {

std::string KvdPath() { return KVD_BIN "/kvd"; }
std::string KvctlPath() { return KVD_BIN "/kvctl"; }

pid_t Spawn(const std::vector<std::string>& words, const std::string& output_path,
            const std::string& input_path) {
  pid_t pid = fork();
  if (pid != 0) return pid;
  int out = open(output_path.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  int in = open(input_path.c_str(), O_RDONLY);
  dup2(in, 0);
  dup2(out, 1);
  dup2(out, 2);
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  execv(argv[0], argv.data());
  _exit(127);
}

int ExitCode(int wait_status) {
  return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -WTERMSIG(wait_status);
}

Finished RunProgram(const std::vector<std::string>& words, int seconds, const std::string& input) {
  ScratchDirectory scratch;
  std::string out = scratch.path() + "/out";
  std::string in = scratch.path() + "/in";
  std::ofstream(in, std::ios::binary) << input;
  pid_t pid = Spawn(words, out, in);
  Finished finished;
  auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  int status = 0;
  while (waitpid(pid, &status, WNOHANG) == 0) {
    if (std::chrono::steady_clock::now() > end) {
      kill(pid, SIGKILL);
      waitpid(pid, &status, 0);
      break;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  finished.exit_code = ExitCode(status);
  finished.output = ReadAll(out);
  return finished;
}

bool IsEnding(pid_t pid) {
  constexpr uint64_t kKillBit = uint64_t{1} << (SIGKILL - 1);
  for (absl::string_view line :
       absl::StrSplit(ReadAll(absl::StrCat("/proc/", pid, "/status")), '\n')) {
    std::vector<std::string> words =
        absl::StrSplit(line, absl::ByAnyChar("\t "), absl::SkipEmpty());
    if (words.size() < 2) continue;
    if (words[0] == "State:" && (words[1] == "Z" || words[1] == "X")) return true;
    uint64_t pending = 0;
    if (words[0] == "ShdPnd:" && absl::SimpleHexAtoi(words[1], &pending) &&
        (pending & kKillBit) != 0)
      return true;
  }
  // The ninth field: flags of the kernel, among them that it exits. The second may hold spaces.
  constexpr uint64_t kExiting = 4;
  std::string stat = ReadAll(absl::StrCat("/proc/", pid, "/stat"));
  std::vector<std::string> words =
      absl::StrSplit(stat.substr(stat.rfind(')') + 1), ' ', absl::SkipEmpty());
  uint64_t flags = 0;
  return words.size() > 6 && absl::SimpleAtoi(words[6], &flags) && (flags & kExiting) != 0;
}

std::vector<std::string> ClosingLines(const std::string& output) {
  std::vector<std::string> lines;
  for (absl::string_view line : absl::StrSplit(output, '\n')) {
    if (absl::StartsWith(line, "kvd: ") || absl::StrContains(line, " C ")) lines.emplace_back(line);
  }
  return lines;
}

std::string ReadAll(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

}  // namespace kvd
