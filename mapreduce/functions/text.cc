// words, word-keys and grep: functions over values that are text.
#include <re2/re2.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "mapreduce/functions/builtin.h"
#include "mapreduce/functions/words.h"

namespace kvd::mapreduce {
namespace {

// The text to look for words in: the value, or its small letters in `buffer`.
std::string_view TextOf(std::string_view value, bool lower, std::string* buffer) {
  if (!lower) return value;
  buffer->resize(value.size());
  std::transform(value.begin(), value.end(), buffer->begin(), Lower);
  return *buffer;
}

class Words final : public MapFunction {
 public:
  explicit Words(bool lower) : lower_(lower) {}

  absl::Status Map(std::span<const Record> batch, Emitter* out) override {
    absl::Status status;
    for (const Record& record : batch) {
      bool done = ForEachWord(TextOf(record.value, lower_, &buffer_), [&](std::string_view word) {
        status = out->EmitNumber(word, 1);
        return status.ok();
      });
      if (!done) return Blame(status, "words", record);
    }
    return absl::OkStatus();
  }

 private:
  const bool lower_;
  std::string buffer_;
};

class WordKeys final : public MapFunction {
 public:
  explicit WordKeys(bool lower) : lower_(lower) {}

  absl::Status Map(std::span<const Record> batch, Emitter* out) override {
    for (const Record& record : batch) {
      words_.clear();
      ForEachWord(TextOf(record.value, lower_, &buffer_), [this](std::string_view word) {
        words_.push_back(word);
        return true;
      });
      std::sort(words_.begin(), words_.end());
      words_.erase(std::unique(words_.begin(), words_.end()), words_.end());
      for (std::string_view word : words_) {
        absl::Status status = out->Emit(word, record.key);
        if (!status.ok()) return Blame(status, "word-keys", record);
      }
    }
    return absl::OkStatus();
  }

 private:
  const bool lower_;
  std::string buffer_;
  std::vector<std::string_view> words_;
};

// Finds lines of a text that match. Nothing matches a line's end.
class LineMatcher {
 public:
  LineMatcher(const std::string& pattern, bool ignore_case) {
    RE2::Options options;
    options.set_never_nl(true);
    options.set_log_errors(false);
    options.set_case_sensitive(!ignore_case);
    regex_ = std::make_unique<RE2>("(?m:" + pattern + ")", options);
    bool plain = pattern.find_first_of("\\^$.|?*+()[]{}\n") == pattern.npos;
    if (plain && !ignore_case && !pattern.empty()) literal_ = pattern;
  }

  bool ok() const { return regex_->ok(); }
  const std::string& error() const { return regex_->error(); }

  // Where the first match at or behind `from` begins; npos: nowhere.
  size_t Find(std::string_view text, size_t from) const {
    if (!literal_.empty()) {
      // The C library's search is faster than any automaton.
      const void* at =
          memmem(text.data() + from, text.size() - from, literal_.data(), literal_.size());
      if (at == nullptr) return text.npos;
      return static_cast<size_t>(static_cast<const char*>(at) - text.data());
    }
    re2::StringPiece match;
    re2::StringPiece whole(text.data(), text.size());
    if (!regex_->Match(whole, from, text.size(), RE2::UNANCHORED, &match, 1)) return text.npos;
    return static_cast<size_t>(match.data() - text.data());
  }

 private:
  std::unique_ptr<RE2> regex_;
  std::string literal_;
};

class Grep final : public MapFunction {
 public:
  Grep(LineMatcher matcher, bool whole_record, bool invert)
      : matcher_(std::move(matcher)), whole_record_(whole_record), invert_(invert) {}

  absl::Status Map(std::span<const Record> batch, Emitter* out) override {
    int64_t lines = 0;
    for (const Record& record : batch) {
      absl::Status status = invert_ ? MapOthers(record, out, &lines) : Map(record, out, &lines);
      if (!status.ok()) return Blame(status, "grep", record);
    }
    if (lines > 0) out->Count("matches", lines);
    return absl::OkStatus();
  }

 private:
  static size_t LineEnd(std::string_view text, size_t at) {
    size_t end = text.find('\n', at);
    return end == text.npos ? text.size() : end;
  }

  absl::Status Map(const Record& record, Emitter* out, int64_t* lines) const {
    std::string_view text = record.value;
    for (size_t from = 0; from <= text.size();) {
      size_t at = matcher_.Find(text, from);
      // Behind the last line's end there is no line.
      if (at == text.npos || (at == text.size() && at > 0 && text[at - 1] == '\n')) break;
      ++*lines;
      if (whole_record_) return out->Emit(record.key, text);
      size_t before = at == 0 ? text.npos : text.rfind('\n', at - 1);
      size_t begin = before == text.npos ? 0 : before + 1;
      size_t end = LineEnd(text, at);
      absl::Status status = out->Emit(record.key, text.substr(begin, end - begin));
      if (!status.ok()) return status;
      from = end + 1;
    }
    return absl::OkStatus();
  }

  // The lines, or records, that do not match.
  absl::Status MapOthers(const Record& record, Emitter* out, int64_t* lines) const {
    std::string_view text = record.value;
    if (whole_record_) {
      if (matcher_.Find(text, 0) != text.npos) return absl::OkStatus();
      ++*lines;
      return out->Emit(record.key, text);
    }
    for (size_t begin = 0; begin < text.size();) {
      size_t end = LineEnd(text, begin);
      std::string_view line = text.substr(begin, end - begin);
      begin = end + 1;
      if (matcher_.Find(line, 0) != line.npos) continue;
      ++*lines;
      absl::Status status = out->Emit(record.key, line);
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  const LineMatcher matcher_;
  const bool whole_record_;
  const bool invert_;
};

std::unique_ptr<MapFunction> MakeGrep(ParameterReader* p) {
  LineMatcher matcher(p->Text("pattern"), p->Flag("ignore-case"));
  if (!matcher.ok()) p->Wrong("pattern", "which is no regular expression: " + matcher.error());
  return std::make_unique<Grep>(std::move(matcher), p->Choice("emit", {"line", "record"}) == 1,
                                p->Flag("invert"));
}

constexpr ParameterInfo kLower{"lower", "false", "true: words in small letters of ASCII"};

}  // namespace

std::vector<Builtin> TextBuiltins() {
  return {
      {"words",
       "each word of the value with 1",
       {kLower},
       [](ParameterReader* p) { return std::make_unique<Words>(p->Flag("lower")); }},
      {"word-keys",
       "each different word of the value with the record's key",
       {kLower},
       [](ParameterReader* p) { return std::make_unique<WordKeys>(p->Flag("lower")); }},
      {"grep",
       "the record's key with each line of the value that matches",
       {{"pattern", nullptr, "RE2 syntax; ^ and $ match at lines' ends, nothing matches those"},
        {"emit", "line", "line, or record: the whole value if one of its lines matches"},
        {"ignore-case", "false", "true: large and small letters are the same"},
        {"invert", "false", "true: what does not match"}},
       MakeGrep},
  };
}

}  // namespace kvd::mapreduce
