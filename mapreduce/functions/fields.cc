// fields: one field of a row as the key and another as the value, to be grouped by.
#include <memory>
#include <utility>

#include "mapreduce/functions/builtin.h"
#include "mapreduce/functions/field_reader.h"

namespace kvd::mapreduce {
namespace {

class Fields final : public MapFunction {
 public:
  Fields(std::unique_ptr<FieldReader> reader, bool count, bool strict)
      : reader_(std::move(reader)), count_(count), strict_(strict) {}

  absl::Status Map(std::span<const Record> batch, Emitter* out) override {
    int64_t missing = 0;
    for (const Record& record : batch) {
      absl::Status status = MapOne(record, out, &missing);
      if (!status.ok()) return Blame(status, "fields", record);
    }
    if (missing > 0) out->Count("rows_without_field", missing);
    return absl::OkStatus();
  }

 private:
  absl::Status MapOne(const Record& record, Emitter* out, int64_t* missing) {
    absl::Status status = reader_->Read(record, &fields_);
    if (!status.ok()) return status;
    for (std::string_view field : fields_) {
      if (field.data() != nullptr) continue;
      if (strict_) return absl::InvalidArgumentError("the row does not have the field");
      ++*missing;
      return absl::OkStatus();
    }
    return count_ ? out->EmitNumber(fields_[0], 1) : out->Emit(fields_[0], fields_[1]);
  }

  const std::unique_ptr<FieldReader> reader_;
  const bool count_;
  const bool strict_;
  std::vector<std::string_view> fields_;
};

std::unique_ptr<MapFunction> MakeFields(ParameterReader* p) {
  bool count = p->Text("value").empty();
  std::vector<std::string> wanted = {"key"};
  if (!count) wanted.push_back("value");
  return std::make_unique<Fields>(MakeFieldReader(p, wanted), count,
                                  p->Choice("missing", {"skip", "error"}) == 1);
}

}  // namespace

std::vector<Builtin> FieldBuiltins() {
  std::vector<ParameterInfo> parameters = {
      {"key", nullptr, "the field to group by: a number from 1, a name, @key or @value"},
      {"value", "", "the field whose values are wanted; none: 1"},
      {"missing", "skip", "a row without one of them: skip, or error: it is a bad record"}};
  for (const ParameterInfo& parameter : FieldParameters()) parameters.push_back(parameter);
  return {{"fields", "one field of each row with another one", parameters, MakeFields}};
}

}  // namespace kvd::mapreduce
