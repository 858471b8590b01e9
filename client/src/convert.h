// Between the public types and the messages that carry them. Pure.
#pragma once

#include "client/src/session.h"
#include "kvd/client.h"

namespace kvd::client {

// What a call sends, its header left open.
RequestItem GetItem(std::string_view key, const ReadOptions& options);
RequestItem PutItem(std::string_view key, std::string_view value, const WriteOptions& options);
RequestItem AppendItem(std::string_view key, std::string_view suffix, const WriteOptions& options);
RequestItem DeleteItem(std::string_view key, const WriteOptions& options);
RequestItem IncrementItem(std::string_view key, int64_t delta, const WriteOptions& options);
RequestItem MultiGetItem(const std::vector<std::string>& keys, const ReadOptions& options);
RequestItem BatchItem(const std::vector<Operation>& operations, const WriteOptions& options,
                      const std::vector<Operation>& otherwise);

// What a call answers; values are checked against their checksums: DATA_LOSS if one does not match.
absl::StatusOr<WriteResult> WriteAnswer(const absl::StatusOr<ResponseItem>& answer);
absl::StatusOr<std::optional<Value>> GetAnswer(std::string_view key,
                                               absl::StatusOr<ResponseItem> answer);
absl::StatusOr<std::vector<std::optional<Value>>> MultiGetAnswer(
    const std::vector<std::string>& keys, absl::StatusOr<ResponseItem> answer);
absl::StatusOr<BatchResult> BatchAnswer(const absl::StatusOr<ResponseItem>& answer);

}  // namespace kvd::client
