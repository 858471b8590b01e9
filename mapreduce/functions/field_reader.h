// Takes fields out of records: by number or name from CSV, JSON objects and delimited text, or the
// record's key or value as a whole. One record is one row.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "mapreduce/function.h"
#include "mapreduce/functions/parameters.h"

namespace kvd::mapreduce {

// Used by one thread.
class FieldReader {
 public:
  virtual ~FieldReader() = default;
  // The fields that it was made for, in their order, valid until the next call and as long as the
  // record. A field that is not there has data() == nullptr. INVALID_ARGUMENT if the row is
  // malformed, as far as it had to be read.
  virtual absl::Status Read(const Record& record, std::vector<std::string_view>* fields) = 0;
};

// format, delimiter, columns: what a function that reads fields takes beside the fields' names.
std::vector<ParameterInfo> FieldParameters();

// `parameters`: names of those that name a field: a number from 1, a name among `columns` (CSV and
// delimited), a name or a JSON pointer beginning with / (JSON), @key or @value. Notes in `p` what
// is wrong.
std::unique_ptr<FieldReader> MakeFieldReader(ParameterReader* p,
                                             const std::vector<std::string>& parameters);

// Of rows that are JSON; `pointers`: "" stands for a field that another reader fills in.
std::unique_ptr<FieldReader> MakeJsonReader(std::vector<std::string> pointers);

}  // namespace kvd::mapreduce
