// A fuzz target takes any bytes and aborts if what it tests does not do what it must with them. All
// targets are in one program; which one runs is said by name. Not thread-safe.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace kvd::fuzz {

using Target = void (*)(std::string_view input);

// By name.
std::map<std::string, Target>& Targets();

struct Registration {
  Registration(const char* name, Target target) { Targets()[name] = target; }
};

}  // namespace kvd::fuzz

// Defines the target `name`; the function's body follows.
#define KVD_FUZZ_TARGET(name)                                                   \
  static void Fuzz_##name(std::string_view input);                              \
  static const ::kvd::fuzz::Registration registered_##name(#name, Fuzz_##name); \
  static void Fuzz_##name(std::string_view input)
