// Exact decimal numbers, as aggregators and comparisons of values use them: a count of 1e-9 in 128
// bits. One number is below 1e20 in magnitude, so that four hundred million of the greatest can be
// added, in any order, before a sum overflows. Pure and thread-safe.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace kvd::mapreduce {

// In units of 1e-9.
using Decimal = __int128;

inline constexpr int64_t kDecimalUnit = 1'000'000'000;
// Every number that ParseDecimal gives is below it in magnitude.
inline constexpr Decimal kDecimalLimit =
    static_cast<Decimal>(kDecimalUnit) * kDecimalUnit * kDecimalUnit * 100;

// [+-] digits [. digits] [e [+-] digits], with at least one digit in front; spaces around it are
// passed over. INVALID_ARGUMENT naming the text if it is no such number, too great, or not a whole
// number of 1e-9.
absl::StatusOr<Decimal> ParseDecimal(std::string_view text);

// The shortest text that ParseDecimal gives back as `value`, without an exponent.
void AppendDecimal(Decimal value, std::string* out);

// Stored form: whole numbers take as many bytes as they need. Requires: below 2^125 in magnitude.
void EncodeDecimal(Decimal value, std::string* out);
// Takes the number off the front of `in`. False: it is malformed.
bool DecodeDecimal(std::string_view* in, Decimal* value);

}  // namespace kvd::mapreduce
