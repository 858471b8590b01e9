#include "proto/bytes.h"

namespace kvd {

std::string Printable(std::string_view bytes, size_t bytes_max) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out = "\"";
  for (unsigned char c : bytes.substr(0, bytes_max)) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c >= 0x20 && c < 0x7f) {
      out += static_cast<char>(c);
    } else {
      out += "\\x";
      out += kHex[c >> 4];
      out += kHex[c & 15];
    }
  }
  out += '"';
  if (bytes.size() > bytes_max) out += "... (" + std::to_string(bytes.size()) + " bytes)";
  return out;
}

}  // namespace kvd
