// The stored and logged forms of shards and their steps. Pure.
//
//   rows = { key (bytes) timestamp (8 B) version (bytes) }: versions of keys, by key; those of one
//          key newest first if they are together, oldest first if they are spread over chunks
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "proto/codec.h"
#include "server/shard/shard_table.h"

namespace kvd::shard {

// Empty, or false, if malformed.
std::string Encode(const ShardDescriptor& shard);
std::optional<ShardDescriptor> DecodeShard(std::string_view bytes);
std::string Encode(const FinishedStep& finished);
std::optional<FinishedStep> DecodeFinished(std::string_view bytes);
void EncodeStep(Writer& w, const ShardStep& step);
bool DecodeStep(Reader& r, ShardStep* step);

std::string Encode(const StepAnswer& answer);
std::optional<StepAnswer> DecodeStepAnswer(std::string_view bytes);

struct ShardRow {
  std::string_view key;
  Timestamp timestamp;
  std::string_view version;  // storage/version.h
};
void AppendRow(std::string* rows, const ShardRow& row);
// Calls `row` for each until it returns false. False if it did, or if the bytes are malformed.
bool ForEachRow(std::string_view rows, const std::function<bool(const ShardRow&)>& row);

}  // namespace kvd::shard
