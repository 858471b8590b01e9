// KVD_CHECK: an assertion that stays on in release builds. For facts that only a defect in kvd can
// break; never for input. Thread-safe.
#pragma once

#include <string>

namespace kvd {

// Prints `file:line: check failed: expression (detail)` to stderr and aborts.
[[noreturn]] void CheckFailed(const char* file, int line, const char* expression,
                              const std::string& detail = "");

}  // namespace kvd

#define KVD_CHECK(condition)                              \
  do {                                                    \
    if (!(condition)) [[unlikely]]                        \
      ::kvd::CheckFailed(__FILE__, __LINE__, #condition); \
  } while (false)

#define KVD_CHECK_MSG(condition, detail)                            \
  do {                                                              \
    if (!(condition)) [[unlikely]]                                  \
      ::kvd::CheckFailed(__FILE__, __LINE__, #condition, (detail)); \
  } while (false)
