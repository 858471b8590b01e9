// Limits on memory and processor time of a program, through a control group (version 1 or 2) of its
// own. Root.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace kvd {

class ControlGroup {
 public:
  // Makes an empty group; the name is unique on the machine. Removed when destroyed, if nothing
  // runs in it any more.
  explicit ControlGroup(std::string name);
  ~ControlGroup();
  ControlGroup(const ControlGroup&) = delete;
  ControlGroup& operator=(const ControlGroup&) = delete;

  // What to put before a program's words so that it starts in the group.
  std::vector<std::string> Launcher() const;

  // Memory that can't be dropped, as files' pages can.
  uint64_t MemoryBytes() const;
  void LimitMemory(uint64_t bytes);
  void UnlimitMemory();
  // Of one processor.
  void LimitCpu(int percent);
  void UnlimitCpu();

  // Removes what is left of groups whose names begin so.
  static void RemoveLeftovers(const std::string& prefix);

 private:
  std::string Directory(const std::string& controller) const;

  const std::string name_;
  const bool unified_;  // version 2
};

}  // namespace kvd
