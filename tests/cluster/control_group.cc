#include "tests/cluster/control_group.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "proto/check.h"

namespace kvd {
namespace {

constexpr const char* kRoot = "/sys/fs/cgroup";
constexpr const char* kControllers[] = {"memory", "cpu"};

bool Unified() { return std::filesystem::exists(absl::StrCat(kRoot, "/cgroup.controllers")); }

bool Write(const std::string& path, const std::string& text) {
  std::ofstream out(path);
  out << text;
  return out.flush().good();
}

void WriteTo(const std::string& path, const std::string& text) {
  KVD_CHECK_MSG(Write(path, text), absl::StrCat(path, " does not take ", text));
}

}  // namespace

ControlGroup::ControlGroup(std::string name) : name_(std::move(name)), unified_(Unified()) {
  // Version 2 delegates controllers to children only when told to.
  if (unified_) WriteTo(absl::StrCat(kRoot, "/cgroup.subtree_control"), "+memory +cpu");
  for (const char* controller : kControllers)
    std::filesystem::create_directories(Directory(controller));
}

ControlGroup::~ControlGroup() { RemoveLeftovers(name_); }

std::string ControlGroup::Directory(const std::string& controller) const {
  return unified_ ? absl::StrCat(kRoot, "/", name_)
                  : absl::StrCat(kRoot, "/", controller, "/", name_);
}

std::vector<std::string> ControlGroup::Launcher() const {
  std::string script;
  for (const char* controller : kControllers) {
    absl::StrAppend(&script, "echo $$ > ", Directory(controller), "/cgroup.procs; ");
  }
  return {"/bin/sh", "-c", script + "exec \"$@\"", "sh"};
}

uint64_t ControlGroup::MemoryBytes() const {
  std::string directory = Directory("memory");
  uint64_t used = 0;
  std::ifstream(directory + (unified_ ? "/memory.current" : "/memory.usage_in_bytes")) >> used;
  std::ifstream in(directory + "/memory.stat");
  std::string name;
  uint64_t value = 0;
  while (in >> name >> value) {
    if (name == (unified_ ? "file" : "cache")) return used - std::min(used, value);
  }
  KVD_CHECK_MSG(false, "no memory figures in " + directory);
  return 0;
}

void ControlGroup::LimitMemory(uint64_t bytes) {
  std::string path = Directory("memory") + (unified_ ? "/memory.max" : "/memory.limit_in_bytes");
  // Version 1 refuses what it can't reclaim at once.
  while (!Write(path, std::to_string(bytes))) bytes += 4 << 20;
}

void ControlGroup::UnlimitMemory() {
  WriteTo(Directory("memory") + (unified_ ? "/memory.max" : "/memory.limit_in_bytes"),
          unified_ ? "max" : "-1");
}

void ControlGroup::LimitCpu(int percent) {
  if (unified_)
    return WriteTo(Directory("cpu") + "/cpu.max", absl::StrCat(percent * 1000, " 100000"));
  WriteTo(Directory("cpu") + "/cpu.cfs_period_us", "100000");
  WriteTo(Directory("cpu") + "/cpu.cfs_quota_us", std::to_string(percent * 1000));
}

void ControlGroup::UnlimitCpu() {
  if (unified_) return WriteTo(Directory("cpu") + "/cpu.max", "max 100000");
  WriteTo(Directory("cpu") + "/cpu.cfs_quota_us", "-1");
}

void ControlGroup::RemoveLeftovers(const std::string& prefix) {
  std::vector<std::string> parents = {absl::StrCat(kRoot, "/memory"), absl::StrCat(kRoot, "/cpu")};
  if (Unified()) parents = {kRoot};
  for (const std::string& parent : parents) {
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(parent, error)) {
      if (absl::StartsWith(entry.path().filename().string(), prefix)) rmdir(entry.path().c_str());
    }
  }
}

}  // namespace kvd
