// Fields of JSON rows, by simdjson. Numbers keep their own text, so that nothing of them is lost.
#include <simdjson.h>

#include <cstring>
#include <deque>
#include <utility>

#include "absl/strings/str_cat.h"
#include "mapreduce/functions/field_reader.h"

namespace kvd::mapreduce {
namespace {

namespace ondemand = simdjson::ondemand;

class JsonReader final : public FieldReader {
 public:
  explicit JsonReader(std::vector<std::string> pointers) : pointers_(std::move(pointers)) {}

  absl::Status Read(const Record& record, std::vector<std::string_view>* fields) override {
    texts_.clear();
    // The parser reads beyond the end.
    padded_.resize(record.value.size() + simdjson::SIMDJSON_PADDING);
    if (!record.value.empty()) {
      std::memcpy(padded_.data(), record.value.data(), record.value.size());
    }
    std::memset(padded_.data() + record.value.size(), 0, simdjson::SIMDJSON_PADDING);
    ondemand::document document;
    auto error = parser_.iterate(padded_.data(), record.value.size(), padded_.size()).get(document);
    ondemand::json_type root{};
    if (error == simdjson::SUCCESS) error = document.type().get(root);
    // Of a scalar, nothing would tell whether it is one.
    bool fields_can_be = root == ondemand::json_type::object || root == ondemand::json_type::array;
    if (error == simdjson::SUCCESS && !fields_can_be) error = simdjson::INCORRECT_TYPE;
    for (size_t i = 0; i < pointers_.size() && error == simdjson::SUCCESS; ++i) {
      if (pointers_[i].empty()) continue;
      error = ReadField(&document, pointers_[i], &(*fields)[i]);
    }
    if (error == simdjson::SUCCESS) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("the value is no JSON object: ", simdjson::error_message(error)));
  }

 private:
  simdjson::error_code ReadField(ondemand::document* document, const std::string& pointer,
                                 std::string_view* field) {
    ondemand::value value;
    auto error = document->at_pointer(pointer).get(value);
    if (error == simdjson::NO_SUCH_FIELD || error == simdjson::INDEX_OUT_OF_BOUNDS ||
        error == simdjson::INCORRECT_TYPE || error == simdjson::INVALID_JSON_POINTER) {
      return simdjson::SUCCESS;
    }
    if (error != simdjson::SUCCESS) return error;
    ondemand::json_type type;
    if ((error = value.type().get(type)) != simdjson::SUCCESS) return error;
    std::string& text = texts_.emplace_back();
    switch (type) {
      case ondemand::json_type::null:
        return value.is_null() ? simdjson::SUCCESS : simdjson::N_ATOM_ERROR;
      case ondemand::json_type::string: {
        std::string_view unescaped;
        if ((error = value.get_string().get(unescaped)) != simdjson::SUCCESS) return error;
        text = unescaped;
        break;
      }
      case ondemand::json_type::number: {
        ondemand::number number;
        std::string_view token = value.raw_json_token();
        if ((error = value.get_number().get(number)) != simdjson::SUCCESS) return error;
        text = token.substr(0, token.find_last_not_of(" \t\r\n") + 1);
        break;
      }
      case ondemand::json_type::boolean: {
        bool truth = false;
        if ((error = value.get_bool().get(truth)) != simdjson::SUCCESS) return error;
        text = truth ? "true" : "false";
        break;
      }
      default: {
        std::string_view json;
        if ((error = simdjson::to_json_string(value).get(json)) != simdjson::SUCCESS) return error;
        text = json;
      }
    }
    *field = text;
    return simdjson::SUCCESS;
  }

  const std::vector<std::string> pointers_;
  ondemand::parser parser_;
  std::string padded_;
  // A deque, so that they stay where they are.
  std::deque<std::string> texts_;
};

}  // namespace

std::unique_ptr<FieldReader> MakeJsonReader(std::vector<std::string> pointers) {
  return std::make_unique<JsonReader>(std::move(pointers));
}

}  // namespace kvd::mapreduce
