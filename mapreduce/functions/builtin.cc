#include "mapreduce/functions/builtin.h"

#include "absl/strings/str_cat.h"
#include "mapreduce/bad_record.h"
#include "proto/bytes.h"

namespace kvd::mapreduce {

absl::Status Blame(const absl::Status& status, std::string_view function, const Record& record) {
  if (status.code() != absl::StatusCode::kInvalidArgument || BadRecordOf(status)) return status;
  return BadRecordError(absl::StrCat("function ", ToAbsl(function)),
                        {std::string(record.key), std::string(FromAbsl(status.message()))});
}

}  // namespace kvd::mapreduce
