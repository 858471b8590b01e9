// Tables of what the controller tells. Pure.
#pragma once

#include <string>

#include "kvd/v1/controller.pb.h"

namespace kvd::kvctl {

std::string StoresText(const v1::ListStoresResponse& stores);
std::string GroupsText(const v1::ListGroupsResponse& groups);
std::string ShardsText(const v1::QueryResponse& config);
// What a query for the busiest gave.
std::string BusyShardsText(const v1::QueryResponse& busiest);
std::string OperationsText(const v1::ListOperationsResponse& operations);
std::string SettingsText(const v1::ListSettingsResponse& settings);
std::string StateName(v1::RoutingResponse::Store::State state);
// name=value,name=value, by name; escaped.
std::string LabelsText(const v1::RoutingResponse::Store& store);
std::string ToJson(const google::protobuf::Message& message);

}  // namespace kvd::kvctl
