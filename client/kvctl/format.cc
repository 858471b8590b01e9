#include "client/kvctl/format.h"

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>

#include <cstdio>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "kvd/client.h"
#include "proto/bytes.h"

namespace kvd::kvctl {

std::string Escape(std::string_view bytes) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  bool utf8 = IsUtf8(bytes);
  for (unsigned char c : bytes) {
    if (c == '\\')
      out += "\\\\";
    else if (c == '\t')
      out += "\\t";
    else if (c == '\n')
      out += "\\n";
    else if (c < 0x20 || c == 0x7f || (c >= 0x80 && !utf8)) {
      out += "\\x";
      out += kHex[c >> 4];
      out += kHex[c & 15];
    } else {
      out += static_cast<char>(c);
    }
  }
  return out;
}

std::optional<std::string> Unescape(std::string_view text) {
  std::string out;
  auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  };
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      out += text[i];
      continue;
    }
    if (++i == text.size()) return std::nullopt;
    switch (text[i]) {
      case '\\': out += '\\'; break;
      case 't': out += '\t'; break;
      case 'n': out += '\n'; break;
      case 'x': {
        if (i + 2 >= text.size()) return std::nullopt;
        int high = digit(text[i + 1]), low = digit(text[i + 2]);
        if (high < 0 || low < 0) return std::nullopt;
        out += static_cast<char>(high * 16 + low);
        i += 2;
        break;
      }
      default: return std::nullopt;
    }
  }
  return out;
}

bool IsUtf8(std::string_view s) {
  for (size_t i = 0; i < s.size();) {
    auto c = static_cast<unsigned char>(s[i]);
    size_t n = c < 0x80 ? 1 : (c >> 5) == 6 ? 2 : (c >> 4) == 14 ? 3 : (c >> 3) == 30 ? 4 : 0;
    if (n == 0 || i + n > s.size()) return false;
    uint32_t code = n == 1 ? c : c & (0x7f >> n);
    for (size_t k = 1; k < n; ++k) {
      auto d = static_cast<unsigned char>(s[i + k]);
      if ((d >> 6) != 2) return false;
      code = code << 6 | (d & 0x3f);
    }
    constexpr uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
    if (code < kLeast[n] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return false;
    i += n;
  }
  return true;
}

std::string JsonString(std::string_view utf8) {
  std::string out = "\"";
  for (char c : utf8) {
    auto u = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\')
      out += std::string("\\") + c;
    else if (c == '\n')
      out += "\\n";
    else if (c == '\t')
      out += "\\t";
    else if (u < 0x20) {
      char buffer[8];
      std::snprintf(buffer, sizeof buffer, "\\u%04x", u);
      out += buffer;
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string JsonText(std::string_view bytes) {
  return IsUtf8(bytes) ? JsonString(bytes) : JsonString(Escape(bytes));
}

std::string JsonBytes(const std::string& name, std::string_view bytes) {
  if (IsUtf8(bytes)) return absl::StrCat("\"", name, "\": ", JsonString(bytes));
  return absl::StrCat("\"", name, "_base64\": \"", absl::Base64Escape(ToAbsl(bytes)), "\"");
}

std::optional<std::pair<std::string, std::string>> ParseJsonRecord(const std::string& line) {
  google::protobuf::Struct record;
  if (!google::protobuf::util::JsonStringToMessage(line, &record).ok()) return std::nullopt;
  auto field = [&](const std::string& name) -> std::optional<std::string> {
    auto it = record.fields().find(name);
    if (it != record.fields().end() && it->second.has_string_value())
      return it->second.string_value();
    it = record.fields().find(name + "_base64");
    std::string bytes;
    if (it == record.fields().end() || !absl::Base64Unescape(it->second.string_value(), &bytes)) {
      return std::nullopt;
    }
    return bytes;
  };
  auto key = field("key");
  auto value = field("value");
  if (!key || !value) return std::nullopt;
  return std::pair(*std::move(key), *std::move(value));
}

std::optional<std::pair<std::string, std::string>> ParseRawRecord(const std::string& line) {
  size_t tab = line.find('\t');
  if (tab == std::string::npos) return std::nullopt;
  auto key = Unescape(std::string_view(line).substr(0, tab));
  auto value = Unescape(std::string_view(line).substr(tab + 1));
  if (!key || !value) return std::nullopt;
  return std::pair(*std::move(key), *std::move(value));
}

std::string Table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string out;
  for (size_t r = 0; r < rows.size(); ++r) {
    std::string line;
    for (size_t i = 0; i < rows[r].size(); ++i) {
      line += rows[r][i];
      if (i + 1 < rows[r].size()) line.append(widths[i] - rows[r][i].size() + 2, ' ');
    }
    out += line + "\n";
    if (r != 0) continue;
    for (size_t i = 0; i < widths.size(); ++i) {
      out.append(widths[i], '-');
      out += i + 1 < widths.size() ? "  " : "\n";
    }
  }
  return out;
}

std::string Record(const std::vector<std::pair<std::string, std::string>>& fields) {
  size_t width = 0;
  for (const auto& [name, value] : fields) width = std::max(width, name.size());
  std::string out;
  for (const auto& [name, value] : fields)
    absl::StrAppend(&out, name, std::string(width - name.size() + 2, ' '), value, "\n");
  return out;
}

std::string HumanBytes(uint64_t bytes) {
  const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  int unit = 0;
  while (value >= 1024 && unit < 4) {
    value /= 1024;
    ++unit;
  }
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
  return buffer;
}

int ExitCode(const absl::Status& status) {
  if (status.ok()) return 0;
  if (IsOutcomeUnknown(status)) return 4;
  switch (status.code()) {
    case absl::StatusCode::kNotFound: return 1;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange: return 2;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kResourceExhausted: return 3;
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kAborted: return 5;
    case absl::StatusCode::kDataLoss: return 6;
    default: return 7;
  }
}

}  // namespace kvd::kvctl
