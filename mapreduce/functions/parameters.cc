#include "mapreduce/functions/parameters.h"

#include <algorithm>
#include <charconv>

#include "absl/strings/str_cat.h"
#include "proto/bytes.h"

namespace kvd::mapreduce {
namespace {

std::string Names(const std::vector<ParameterInfo>& known) {
  std::string names;
  for (const ParameterInfo& parameter : known) {
    absl::StrAppend(&names, names.empty() ? "" : ", ", parameter.name);
  }
  return names.empty() ? "none" : names;
}

}  // namespace

absl::Status CheckParameters(std::string_view function, const std::vector<ParameterInfo>& known,
                             const Parameters& given) {
  for (const auto& [name, value] : given) {
    bool found = std::any_of(known.begin(), known.end(),
                             [&name = name](const ParameterInfo& it) { return name == it.name; });
    if (found) continue;
    return absl::InvalidArgumentError(absl::StrCat("function ", ToAbsl(function),
                                                   " has no parameter ", Printable(name),
                                                   ", it has: ", Names(known)));
  }
  for (const ParameterInfo& parameter : known) {
    if (parameter.fallback != nullptr || given.count(parameter.name) > 0) continue;
    return absl::InvalidArgumentError(absl::StrCat("function ", ToAbsl(function),
                                                   " needs the parameter '", parameter.name,
                                                   "': ", parameter.help));
  }
  return absl::OkStatus();
}

std::string ParameterReader::Text(std::string_view name) const {
  auto at = given_.find(std::string(name));
  if (at != given_.end()) return at->second;
  for (const ParameterInfo& parameter : known_) {
    if (name == parameter.name) return parameter.fallback;
  }
  return "";
}

void ParameterReader::Wrong(std::string_view name, std::string_view why) {
  if (!status_.ok()) return;
  status_ = absl::InvalidArgumentError(absl::StrCat("function ", ToAbsl(function_), ": parameter '",
                                                    ToAbsl(name), "' is ", Printable(Text(name)),
                                                    ", ", ToAbsl(why)));
}

bool ParameterReader::Flag(std::string_view name) { return Choice(name, {"false", "true"}) == 1; }

uint64_t ParameterReader::Number(std::string_view name, uint64_t least, uint64_t most) {
  std::string text = Text(name);
  uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  bool whole = error == std::errc() && end == text.data() + text.size();
  if (!whole || value < least || value > most) {
    std::string why = absl::StrCat("it must be a number from ", least, " to ", most);
    Wrong(name, why);
    return least;
  }
  return value;
}

size_t ParameterReader::Choice(std::string_view name, std::initializer_list<const char*> choices) {
  std::string text = Text(name);
  std::string all;
  size_t i = 0;
  for (const char* choice : choices) {
    if (text == choice) return i;
    ++i;
    absl::StrAppend(&all, all.empty() ? "" : ", ", choice);
  }
  Wrong(name, "it must be one of: " + all);
  return 0;
}

}  // namespace kvd::mapreduce
