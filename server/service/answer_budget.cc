#include "server/service/answer_budget.h"

#include "absl/strings/str_cat.h"
#include "proto/check.h"
#include "proto/error.h"

namespace kvd::service {
namespace {

constexpr int kRetryMillis = 100;

}  // namespace

absl::Status AnswerBudget::Check(size_t bytes) const {
  if (HasRoom(bytes)) return absl::OkStatus();
  return BusyError(absl::StrCat("an answer of ", bytes, " bytes has no room: ", bytes_,
                                " bytes wait for clients to read them, the limit is ", kBytesMax),
                   kRetryMillis);
}

void AnswerBudget::Return(size_t bytes) {
  KVD_CHECK(bytes_ >= bytes);
  bytes_ -= bytes;
}

}  // namespace kvd::service
