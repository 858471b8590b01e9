#include "mapreduce/functions/field_reader.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <deque>
#include <utility>

#include "absl/strings/str_cat.h"

namespace kvd::mapreduce {
namespace {

constexpr size_t kColumnsMax = 10'000;

// Where a wanted field is.
struct Place {
  enum Kind { kKey, kValue, kColumn } kind = kColumn;
  // From 0.
  size_t column = 0;
  // JSON.
  std::string pointer;
};

// Of the wanted columns in ascending order, so that a row is walked over once.
class ColumnReader final : public FieldReader {
 public:
  ColumnReader(std::vector<Place> places, char delimiter, bool quotes)
      : places_(std::move(places)), delimiter_(delimiter), quotes_(quotes) {
    for (size_t i = 0; i < places_.size(); ++i) {
      if (places_[i].kind == Place::kColumn) order_.push_back(i);
    }
    std::sort(order_.begin(), order_.end(),
              [this](size_t a, size_t b) { return places_[a].column < places_[b].column; });
  }

  absl::Status Read(const Record& record, std::vector<std::string_view>* fields) override {
    fields->assign(places_.size(), std::string_view());
    unquoted_.clear();
    for (size_t i = 0; i < places_.size(); ++i) {
      if (places_[i].kind == Place::kKey) (*fields)[i] = record.key;
      if (places_[i].kind == Place::kValue) (*fields)[i] = record.value;
    }
    std::string_view rest = record.value;
    while (!rest.empty() && (rest.back() == '\n' || rest.back() == '\r')) rest.remove_suffix(1);
    bool more = true;
    size_t column = 0;
    std::string_view field;
    for (size_t wanted : order_) {
      for (; more && column <= places_[wanted].column; ++column) {
        absl::Status status = Take(&rest, &field, &more);
        if (!status.ok()) return status;
      }
      if (column == places_[wanted].column + 1) (*fields)[wanted] = field;
    }
    return absl::OkStatus();
  }

 private:
  // Takes one field and the delimiter behind it. `more`: whether there was one.
  absl::Status Take(std::string_view* rest, std::string_view* field, bool* more) {
    if (quotes_ && !rest->empty() && rest->front() == '"') return TakeQuoted(rest, field, more);
    const char* begin = rest->data() == nullptr ? "" : rest->data();
    const void* end = rest->empty() ? nullptr : std::memchr(begin, delimiter_, rest->size());
    *more = end != nullptr;
    size_t size = *more ? static_cast<size_t>(static_cast<const char*>(end) - begin) : rest->size();
    *field = {begin, size};
    rest->remove_prefix(*more ? size + 1 : size);
    return absl::OkStatus();
  }

  // RFC 4180: two quotes within a quoted field are one.
  absl::Status TakeQuoted(std::string_view* rest, std::string_view* field, bool* more) {
    std::string& out = unquoted_.emplace_back();
    rest->remove_prefix(1);
    while (true) {
      size_t quote = rest->find('"');
      if (quote == rest->npos) return absl::InvalidArgumentError("a quoted CSV field has no end");
      out.append(rest->substr(0, quote));
      rest->remove_prefix(quote + 1);
      if (rest->empty() || rest->front() != '"') break;
      out.push_back('"');
      rest->remove_prefix(1);
    }
    *more = !rest->empty();
    if (*more && rest->front() != delimiter_) {
      return absl::InvalidArgumentError("a quoted CSV field does not end at a delimiter");
    }
    if (*more) rest->remove_prefix(1);
    *field = out;
    return absl::OkStatus();
  }

  const std::vector<Place> places_;
  const char delimiter_;
  const bool quotes_;
  std::vector<size_t> order_;
  // Fields that are not in the record as they are; a deque, so that they stay where they are.
  std::deque<std::string> unquoted_;
};

// Fills in what is the record's key or value beside what JSON gives.
class JsonFields final : public FieldReader {
 public:
  explicit JsonFields(std::vector<Place> places) : places_(std::move(places)) {
    std::vector<std::string> pointers;
    for (const Place& place : places_) {
      pointers.push_back(place.kind == Place::kColumn ? place.pointer : "");
      any_ = any_ || place.kind == Place::kColumn;
    }
    json_ = MakeJsonReader(std::move(pointers));
  }

  absl::Status Read(const Record& record, std::vector<std::string_view>* fields) override {
    fields->assign(places_.size(), std::string_view());
    absl::Status status = any_ ? json_->Read(record, fields) : absl::OkStatus();
    for (size_t i = 0; i < places_.size(); ++i) {
      if (places_[i].kind == Place::kKey) (*fields)[i] = record.key;
      if (places_[i].kind == Place::kValue) (*fields)[i] = record.value;
    }
    return status;
  }

 private:
  const std::vector<Place> places_;
  bool any_ = false;
  std::unique_ptr<FieldReader> json_;
};

std::vector<std::string> SplitColumns(const std::string& text) {
  std::vector<std::string> names;
  for (size_t begin = 0; !text.empty();) {
    size_t end = text.find(',', begin);
    names.push_back(text.substr(begin, end == text.npos ? end : end - begin));
    if (end == text.npos) break;
    begin = end + 1;
  }
  return names;
}

// Of a JSON object: a name becomes a pointer.
std::string PointerTo(const std::string& name) {
  if (!name.empty() && name[0] == '/') return name;
  std::string pointer = "/";
  for (char c : name) {
    if (c == '~') {
      pointer += "~0";
    } else if (c == '/') {
      pointer += "~1";
    } else {
      pointer.push_back(c);
    }
  }
  return pointer;
}

Place PlaceOf(ParameterReader* p, const std::string& parameter, bool json,
              const std::vector<std::string>& columns) {
  std::string name = p->Text(parameter);
  Place place;
  if (name == "@key" || name == "@value") {
    place.kind = name == "@key" ? Place::kKey : Place::kValue;
    return place;
  }
  if (json) {
    place.pointer = PointerTo(name);
    return place;
  }
  auto at = std::find(columns.begin(), columns.end(), name);
  if (at != columns.end()) {
    place.column = static_cast<size_t>(at - columns.begin());
    return place;
  }
  auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), place.column);
  bool whole = error == std::errc() && end == name.data() + name.size();
  if (!whole || place.column < 1 || place.column > kColumnsMax) {
    p->Wrong(parameter, absl::StrCat("it must be @key, @value, a number from 1 to ", kColumnsMax,
                                     " or one of the columns"));
  }
  --place.column;
  return place;
}

}  // namespace

std::vector<ParameterInfo> FieldParameters() {
  return {{"format", "delimited", "what a value is: delimited, csv or json"},
          {"delimiter", "", "one byte between fields; else a tab, of CSV a comma"},
          {"columns", "", "names of the fields in their order, with commas between"}};
}

std::unique_ptr<FieldReader> MakeFieldReader(ParameterReader* p,
                                             const std::vector<std::string>& parameters) {
  enum Format : size_t { kDelimited, kCsv, kJson };
  size_t format = p->Choice("format", {"delimited", "csv", "json"});
  std::string delimiter = p->Text("delimiter");
  if (delimiter.size() > 1 || delimiter == "\"")
    p->Wrong("delimiter", "it must be one byte, no \"");
  char byte = !delimiter.empty() ? delimiter[0] : format == kCsv ? ',' : '\t';
  std::vector<std::string> columns = SplitColumns(p->Text("columns"));
  std::vector<Place> places;
  places.reserve(parameters.size());
  for (const std::string& parameter : parameters) {
    places.push_back(PlaceOf(p, parameter, format == kJson, columns));
  }
  if (format == kJson) return std::make_unique<JsonFields>(std::move(places));
  return std::make_unique<ColumnReader>(std::move(places), byte, format == kCsv);
}

}  // namespace kvd::mapreduce
