// Runs a function in a process with a network, mounts and process ids of its own. Whatever it
// starts, mounts or configures there is gone with it, however it ends: the kernel sees to that.
// Linux, root.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>

namespace kvd {

// Empty if runs in sandboxes work here; else why not, in one line.
std::string WhyNoSandbox();

// Starts `body` in a sandbox of its own, with its output appended to `log_path`; the process to
// wait for, which ends with what `body` returned. Killing it ends everything inside. The sandbox
// ends with its parent too. Requires: the caller has one thread.
pid_t StartSandbox(const std::string& log_path, const std::function<int()>& body);

// Waits for it. An exit code of 125 means that the sandbox could not be made: see its log.
int WaitForSandbox(pid_t pid);

}  // namespace kvd
