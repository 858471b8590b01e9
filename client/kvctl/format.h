// How kvctl shows and reads bytes. Text lines escape what is not printable, so that any bytes pass;
// JSON uses strings for valid UTF-8 and *_base64 fields for the rest. Pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace kvd::kvctl {

// \\ \t \n \xNN; the inverse fails on a malformed escape.
std::string Escape(std::string_view bytes);
std::optional<std::string> Unescape(std::string_view text);

bool IsUtf8(std::string_view bytes);
std::string JsonString(std::string_view utf8);
// Of any bytes: escaped as in text lines if they are no UTF-8.
std::string JsonText(std::string_view bytes);
// "name": "...", or "name_base64": "..." if the bytes are no UTF-8.
std::string JsonBytes(const std::string& name, std::string_view bytes);

// One record of an import: a JSON object with key and value, or a line key TAB value.
std::optional<std::pair<std::string, std::string>> ParseJsonRecord(const std::string& line);
std::optional<std::pair<std::string, std::string>> ParseRawRecord(const std::string& line);

// Columns aligned, the first row underlined.
std::string Table(const std::vector<std::vector<std::string>>& rows);

// A line for each name and value, the values aligned.
std::string Record(const std::vector<std::pair<std::string, std::string>>& fields);

// 1234567 -> "1.2 MiB".
std::string HumanBytes(uint64_t bytes);

// Exit code by class of error; the table is in --help.
int ExitCode(const absl::Status& status);

}  // namespace kvd::kvctl
