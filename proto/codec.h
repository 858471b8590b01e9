// The binary encoding of everything kvd stores or logs: LEB128 varints, big-endian fixed numbers
// where order matters, length-prefixed bytes. Decoding never reads past the input: the first
// malformed field makes the reader fail, and it stays failed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "proto/ids.h"

namespace kvd {

// Appends to a string that the caller owns.
class Writer {
 public:
  explicit Writer(std::string* out) : out_(out) {}

  void Byte(uint8_t v) { out_->push_back(static_cast<char>(v)); }
  void Varint(uint64_t v) {
    while (v >= 0x80) {
      Byte(static_cast<uint8_t>(v) | 0x80);
      v >>= 7;
    }
    Byte(static_cast<uint8_t>(v));
  }
  // Small magnitudes of either sign stay short.
  void SignedVarint(int64_t v) {
    Varint((static_cast<uint64_t>(v) << 1) ^ static_cast<uint64_t>(v >> 63));
  }
  template <class Tag>
  void Varint(Number<Tag> n) {
    Varint(n.value());
  }
  void Fixed32(uint32_t v) {
    for (int shift = 24; shift >= 0; shift -= 8) Byte(static_cast<uint8_t>(v >> shift));
  }
  void Fixed64(uint64_t v) {
    for (int shift = 56; shift >= 0; shift -= 8) Byte(static_cast<uint8_t>(v >> shift));
  }
  void Bytes(std::string_view v) {
    Varint(v.size());
    out_->append(v);
  }
  void Raw(std::string_view v) { out_->append(v); }

 private:
  std::string* out_;
};

// Reads from bytes that outlive it. After a malformed field ok() is false and all reads give 0.
class Reader {
 public:
  explicit Reader(std::string_view in) : in_(in) {}

  bool ok() const { return ok_; }
  // Whether everything was read, and well.
  bool Done() const { return ok_ && in_.empty(); }
  std::string_view rest() const { return in_; }

  uint8_t Byte() {
    if (in_.empty()) return Fail();
    auto v = static_cast<uint8_t>(in_[0]);
    in_.remove_prefix(1);
    return v;
  }
  uint64_t Varint() {
    uint64_t v = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      uint8_t b = Byte();
      if (!ok_) return 0;
      if (shift == 63 && b > 1) return Fail();
      v |= static_cast<uint64_t>(b & 0x7f) << shift;
      if ((b & 0x80) == 0) return v;
    }
    return Fail();
  }
  int64_t SignedVarint() {
    uint64_t v = Varint();
    return static_cast<int64_t>(v >> 1) ^ -static_cast<int64_t>(v & 1);
  }
  template <class N>
  N Id() {
    return N(Varint());
  }
  uint32_t Fixed32() { return static_cast<uint32_t>(Fixed(4)); }
  uint64_t Fixed64() { return Fixed(8); }
  std::string_view Bytes() { return Raw(Varint()); }
  std::string_view Raw(uint64_t size) {
    if (size > in_.size()) {
      Fail();
      return {};
    }
    auto v = in_.substr(0, size);
    in_.remove_prefix(size);
    return v;
  }
  // A count of things that follow, each at least one byte: never more than the bytes left.
  uint64_t Count() {
    uint64_t n = Varint();
    return n > in_.size() ? Fail() : n;
  }

 private:
  uint8_t Fail() {
    ok_ = false;
    in_ = {};
    return 0;
  }
  uint64_t Fixed(int size) {
    uint64_t v = 0;
    for (char c : Raw(static_cast<uint64_t>(size))) v = v << 8 | static_cast<uint8_t>(c);
    return v;
  }

  std::string_view in_;
  bool ok_ = true;
};

}  // namespace kvd
