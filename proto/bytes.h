// Conversions between std::string_view and Abseil's own string_view, which in Debian's build are
// different types, and text forms of arbitrary bytes.
#pragma once

#include <string>
#include <string_view>

#include "absl/strings/string_view.h"

namespace kvd {

inline absl::string_view ToAbsl(std::string_view s) { return {s.data(), s.size()}; }
inline std::string_view FromAbsl(absl::string_view s) { return {s.data(), s.size()}; }

// Quotes bytes for a message: printable ASCII as is, the rest as \xNN, cut after `bytes_max`.
std::string Printable(std::string_view bytes, size_t bytes_max = 64);

}  // namespace kvd
