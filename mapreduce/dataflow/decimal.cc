#include "mapreduce/dataflow/decimal.h"

#include "absl/strings/str_cat.h"
#include "proto/bytes.h"

namespace kvd::mapreduce {
namespace {

using Unsigned = unsigned __int128;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

std::string_view Strip(std::string_view text) {
  while (!text.empty() && IsSpace(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsSpace(text.back())) text.remove_suffix(1);
  return text;
}

absl::Status NotANumber(std::string_view text, const char* why) {
  return absl::InvalidArgumentError(absl::StrCat("value ", Printable(text), " ", why));
}

// Digits and a point; `scale`: how many digits stood behind the point.
struct Mantissa {
  Unsigned digits = 0;
  int scale = 0;
  bool too_great = false;
};

// Takes it off the front of `text`. False: there is none.
bool TakeMantissa(std::string_view* text, Mantissa* out) {
  if (text->empty() || !IsDigit(text->front())) return false;
  bool behind = false;
  // Zeros at the end are counted, not multiplied in: they may stand behind the ninth digit.
  int zeros = 0;
  for (; !text->empty(); text->remove_prefix(1)) {
    char c = text->front();
    if (c == '.' && !behind) {
      behind = true;
      if (text->size() < 2 || !IsDigit((*text)[1])) return false;
      continue;
    }
    if (!IsDigit(c)) break;
    if (behind) ++out->scale;
    ++zeros;
    if (c == '0') continue;
    for (; zeros > 0 && !out->too_great; --zeros) {
      out->digits *= 10;
      out->too_great = out->digits > static_cast<Unsigned>(kDecimalLimit) * 10'000;
    }
    zeros = 0;
    out->digits += static_cast<unsigned>(c - '0');
  }
  if (out->digits != 0) out->scale -= zeros;
  return true;
}

// Takes [e [+-] digits] off the front. False: it is malformed.
bool TakeExponent(std::string_view* text, int* exponent) {
  if (text->empty() || (text->front() != 'e' && text->front() != 'E')) return true;
  text->remove_prefix(1);
  bool negative = !text->empty() && text->front() == '-';
  if (!text->empty() && (text->front() == '-' || text->front() == '+')) text->remove_prefix(1);
  if (text->empty() || !IsDigit(text->front())) return false;
  int value = 0;
  for (; !text->empty() && IsDigit(text->front()); text->remove_prefix(1)) {
    if (value < 100'000) value = value * 10 + (text->front() - '0');
  }
  *exponent = negative ? -value : value;
  return true;
}

// Of the common case: up to nine digits in front of the point, nothing else.
bool ParseSmall(std::string_view text, Decimal* value) {
  bool negative = !text.empty() && text.front() == '-';
  if (negative) text.remove_prefix(1);
  if (text.empty() || text.size() > 9) return false;
  int64_t digits = 0;
  for (char c : text) {
    if (!IsDigit(c)) return false;
    digits = digits * 10 + (c - '0');
  }
  digits *= kDecimalUnit;
  *value = negative ? -digits : digits;
  return true;
}

}  // namespace

absl::StatusOr<Decimal> ParseDecimal(std::string_view text) {
  Decimal small;
  if (ParseSmall(text, &small)) return small;
  std::string_view rest = Strip(text);
  bool negative = !rest.empty() && rest.front() == '-';
  if (!rest.empty() && (rest.front() == '-' || rest.front() == '+')) rest.remove_prefix(1);
  Mantissa mantissa;
  int exponent = 0;
  if (!TakeMantissa(&rest, &mantissa) || !TakeExponent(&rest, &exponent) || !rest.empty()) {
    return NotANumber(text, "is not a decimal number");
  }
  if (mantissa.digits == 0) return Decimal{0};
  if (mantissa.too_great) return NotANumber(text, "has too many digits or is not below 1e20");
  // To a whole number of units: times ten to the power of `shift`.
  int64_t shift = int64_t{9} - mantissa.scale + exponent;
  Unsigned units = mantissa.digits;
  for (; shift > 0; --shift) {
    units *= 10;
    if (units >= static_cast<Unsigned>(kDecimalLimit)) {
      return NotANumber(text, "is not below 1e20 in magnitude");
    }
  }
  for (; shift < 0; ++shift) {
    if (units % 10 != 0) return NotANumber(text, "has more than nine digits behind the point");
    units /= 10;
  }
  if (units >= static_cast<Unsigned>(kDecimalLimit)) {
    return NotANumber(text, "is not below 1e20 in magnitude");
  }
  return negative ? -static_cast<Decimal>(units) : static_cast<Decimal>(units);
}

void AppendDecimal(Decimal value, std::string* out) {
  if (value < 0) out->push_back('-');
  Unsigned units = value < 0 ? -static_cast<Unsigned>(value) : static_cast<Unsigned>(value);
  Unsigned whole = units / kDecimalUnit;
  auto behind = static_cast<uint32_t>(units % kDecimalUnit);
  // A sum of 128 bits has up to 30 digits in front of the point.
  char digits[48];
  int n = 0;
  do {
    digits[n++] = static_cast<char>('0' + static_cast<int>(whole % 10));
    whole /= 10;
  } while (whole != 0);
  while (n > 0) out->push_back(digits[--n]);
  if (behind == 0) return;
  char fraction[10] = {'.'};
  for (int i = 9; i > 0; --i, behind /= 10) fraction[i] = static_cast<char>('0' + behind % 10);
  int length = 10;
  while (fraction[length - 1] == '0') --length;
  out->append(fraction, static_cast<size_t>(length));
}

// A varint of zigzag(n) << 1 | f: f = 0: n whole ones, f = 1: n units of 1e-9, not whole ones.
void EncodeDecimal(Decimal value, std::string* out) {
  Unsigned fraction = 0;
  if (value >= INT64_MIN && value <= INT64_MAX) {
    auto small = static_cast<int64_t>(value);
    if (small % kDecimalUnit == 0) {
      value = small / kDecimalUnit;
    } else {
      fraction = 1;
    }
  } else if (value % kDecimalUnit == 0) {
    value /= kDecimalUnit;
  } else {
    fraction = 1;
  }
  Unsigned magnitude = value < 0 ? ~static_cast<Unsigned>(value) : static_cast<Unsigned>(value);
  Unsigned bits = magnitude << 2 | static_cast<Unsigned>(value < 0 ? 2 : 0) | fraction;
  while (bits >= 0x80) {
    out->push_back(static_cast<char>(static_cast<uint8_t>(bits) | 0x80));
    bits >>= 7;
  }
  out->push_back(static_cast<char>(bits));
}

bool DecodeDecimal(std::string_view* in, Decimal* value) {
  Unsigned bits = 0;
  for (int shift = 0; shift < 128; shift += 7) {
    if (in->empty()) return false;
    auto b = static_cast<uint8_t>(in->front());
    in->remove_prefix(1);
    if (shift == 126 && b > 3) return false;
    bits |= static_cast<Unsigned>(b & 0x7f) << shift;
    if ((b & 0x80) != 0) continue;
    if (b == 0 && shift > 0) return false;
    Unsigned magnitude = bits >> 2;
    Decimal signed_value =
        (bits & 2) != 0 ? static_cast<Decimal>(~magnitude) : static_cast<Decimal>(magnitude);
    if ((bits & 1) != 0) {
      *value = signed_value;
      return true;
    }
    constexpr Decimal kWholeMax = (static_cast<Decimal>(1) << 126) / kDecimalUnit;
    if (signed_value > kWholeMax || signed_value < -kWholeMax) return false;
    *value = signed_value * kDecimalUnit;
    return true;
  }
  return false;
}

}  // namespace kvd::mapreduce
