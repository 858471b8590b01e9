// What a word is: letters, digits and apostrophes of ASCII and all bytes above it, as many as stand
// together. The words of a text are the lines of
//
//   LC_ALL=C tr -cs "A-Za-z0-9'\200-\377" '\n' | grep .
//
// Pure.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace kvd::mapreduce {

inline constexpr std::array<bool, 256> kWordByte = [] {
  std::array<bool, 256> table{};
  for (unsigned c = 0; c < 256; ++c) {
    table[c] = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '\'' || c >= 0x80;
  }
  return table;
}();

// Calls `each` with every word of `text`, until it gives false.
template <class Each>
bool ForEachWord(std::string_view text, Each each) {
  const auto* at = reinterpret_cast<const uint8_t*>(text.data());
  const uint8_t* end = at + text.size();
  while (at < end) {
    while (at < end && !kWordByte[*at]) ++at;
    const uint8_t* begin = at;
    while (at < end && kWordByte[*at]) ++at;
    if (begin == at) break;
    std::string_view word(reinterpret_cast<const char*>(begin), static_cast<size_t>(at - begin));
    if (!each(word)) return false;
  }
  return true;
}

inline char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

}  // namespace kvd::mapreduce
