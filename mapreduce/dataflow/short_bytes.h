// Copying and comparing byte strings that are mostly a few bytes long, without a call into the C
// library each time. Pure.
#pragma once

#include <cstdint>
#include <cstring>

namespace kvd::mapreduce {

namespace internal {

template <class Word>
inline void CopyEnds(char* out, const char* in, size_t size) {
  Word first, last;
  std::memcpy(&first, in, sizeof(Word));
  std::memcpy(&last, in + size - sizeof(Word), sizeof(Word));
  std::memcpy(out, &first, sizeof(Word));
  std::memcpy(out + size - sizeof(Word), &last, sizeof(Word));
}

template <class Word>
inline bool EqualAt(const char* a, const char* b, size_t at) {
  Word x, y;
  std::memcpy(&x, a + at, sizeof(Word));
  std::memcpy(&y, b + at, sizeof(Word));
  return x == y;
}

}  // namespace internal

inline void CopyShort(char* out, const char* in, size_t size) {
  if (size > 16) {
    std::memcpy(out, in, size);
  } else if (size >= 8) {
    internal::CopyEnds<uint64_t>(out, in, size);
  } else if (size >= 4) {
    internal::CopyEnds<uint32_t>(out, in, size);
  } else {
    for (size_t i = 0; i < size; ++i) out[i] = in[i];
  }
}

inline bool EqualShort(const char* a, const char* b, size_t size) {
  using internal::EqualAt;
  if (size > 16) return std::memcmp(a, b, size) == 0;
  if (size >= 8) return EqualAt<uint64_t>(a, b, 0) && EqualAt<uint64_t>(a, b, size - 8);
  if (size >= 4) return EqualAt<uint32_t>(a, b, 0) && EqualAt<uint32_t>(a, b, size - 4);
  for (size_t i = 0; i < size; ++i) {
    if (a[i] != b[i]) return false;
  }
  return true;
}

}  // namespace kvd::mapreduce
