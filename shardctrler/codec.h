// Parts that records and commands share. Private to the module.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "proto/codec.h"
#include "shardctrler/types.h"

namespace kvd::shardctrler {

inline constexpr uint8_t kFormat = 1;

void EncodeLabels(Writer& w, const std::map<std::string, std::string>& labels);
std::map<std::string, std::string> DecodeLabels(Reader& r);
void EncodeFields(Writer& w, const Operation& operation);
// False if malformed.
bool DecodeFields(Reader& r, Operation* operation);

// Reads one byte that has to be one of an enumeration's, from its first to `last`.
template <class E>
bool DecodeEnum(Reader& r, E last, E* out) {
  uint8_t byte = r.Byte();
  *out = static_cast<E>(byte);
  return byte >= 1 && byte <= static_cast<uint8_t>(last);
}

}  // namespace kvd::shardctrler
