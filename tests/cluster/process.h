// Programs as children of a test: kvd, kvctl and the tools that faults are made with.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace kvd {

// Where the daemon and kvctl of this build are.
std::string KvdPath();
std::string KvctlPath();

// Starts a program; words[0] is its path. Its output is appended to `output_path`.
pid_t Spawn(const std::vector<std::string>& words, const std::string& output_path,
            const std::string& input_path = "/dev/null");

// The exit code of a status that waitpid gave; minus the signal if one ended the program.
int ExitCode(int wait_status);

// Whether a child that was not waited for yet has ended, or was killed and has yet to go.
bool IsEnding(pid_t pid);

struct Finished {
  int exit_code = -1;
  std::string output;  // standard output and error together
};
// Runs a program to its end, at most `seconds`.
Finished RunProgram(const std::vector<std::string>& words, int seconds = 30,
                    const std::string& input = "");

// The lines of a daemon's output that say why it ended.
std::vector<std::string> ClosingLines(const std::string& output);

// Empty if the file can't be read.
std::string ReadAll(const std::string& path);

}  // namespace kvd
