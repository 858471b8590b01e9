// Runs targets on kept inputs, without libFuzzer:
//
//   fuzz_replay TARGET PATH...      on each file, or on each file of a directory
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "tests/fuzz/target.h"

namespace {

std::vector<std::filesystem::path> FilesOf(const std::string& path) {
  if (!std::filesystem::is_directory(path)) return {path};
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(path)) files.push_back(entry.path());
  return files;
}

}  // namespace

int main(int argc, char** argv) {
  const auto& targets = kvd::fuzz::Targets();
  auto found = argc < 3 ? targets.end() : targets.find(argv[1]);
  if (found == targets.end()) {
    std::fprintf(stderr, "usage: %s TARGET PATH...; the targets:", argv[0]);
    for (const auto& [name, target] : targets) std::fprintf(stderr, " %s", name.c_str());
    std::fprintf(stderr, "\n");
    return 2;
  }
  int inputs = 0;
  for (int i = 2; i < argc; ++i) {
    for (const auto& file : FilesOf(argv[i])) {
      std::ifstream in(file, std::ios::binary);
      std::string bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
      // If this is the last line, this was the input.
      std::fprintf(stderr, "%s\n", file.c_str());
      found->second(bytes);
      ++inputs;
    }
  }
  if (inputs == 0) {
    std::fprintf(stderr, "%s: no input to replay\n", argv[1]);
    return 1;
  }
  std::printf("%s: %d inputs\n", argv[1], inputs);
  return 0;
}
