// The items of a pipeline, whatever they ask for. Pure.
#pragma once

#include <string>

#include "kvd/v1/kv.pb.h"

namespace kvd::client {

using RequestItem = v1::PipelineRequest::Item;
using ResponseItem = v1::PipelineResponse::Item;

// Null if the item holds no request, or a sealed one.
const v1::RequestHeader* HeaderOf(const RequestItem& item);
v1::RequestHeader* MutableHeaderOf(RequestItem* item);
// Null if it holds an error.
const v1::ResponseHeader* HeaderOf(const ResponseItem& item);
v1::ResponseHeader* MutableHeaderOf(ResponseItem* item);
// Changes nothing.
bool IsRead(const RequestItem& item);
// The key by which the item goes to a group: the first it names. Of a scan, where it begins.
const std::string& RoutingKey(const RequestItem& item);

}  // namespace kvd::client
