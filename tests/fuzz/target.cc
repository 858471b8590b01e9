#include "tests/fuzz/target.h"

namespace kvd::fuzz {

std::map<std::string, Target>& Targets() {
  static auto* targets = new std::map<std::string, Target>();
  return *targets;
}

}  // namespace kvd::fuzz
