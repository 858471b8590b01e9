// The program under libFuzzer. KVD_FUZZ_TARGET names the target: by environment, so that
// libFuzzer's own child processes have it too.
#include <google/protobuf/stubs/logging.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "tests/fuzz/target.h"

namespace {
kvd::fuzz::Target target = nullptr;
}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  const char* name = std::getenv("KVD_FUZZ_TARGET");
  auto found = kvd::fuzz::Targets().find(name == nullptr ? "" : name);
  if (found == kvd::fuzz::Targets().end()) {
    std::fprintf(stderr, "KVD_FUZZ_TARGET must name one of:");
    for (const auto& [known, unused] : kvd::fuzz::Targets())
      std::fprintf(stderr, " %s", known.c_str());
    std::fprintf(stderr, "\n");
    std::exit(2);
  }
  target = found->second;
  // Of every string that is no UTF-8 it would write a line.
  google::protobuf::SetLogHandler(nullptr);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  target({reinterpret_cast<const char*>(data), size});
  return 0;
}
