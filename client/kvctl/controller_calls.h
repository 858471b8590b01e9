// Calls of the Controller service, as commands make them.
#pragma once

#include <iostream>
#include <string>

#include "client/kvctl/context.h"
#include "client/kvctl/controller_text.h"
#include "client/src/controller_client.h"

namespace kvd::kvctl {

using ControllerStub = v1::Controller::Stub;

inline client::ControllerClient ClientOf(const Context& context) {
  return {context.addresses, std::chrono::milliseconds(context.timeout_ms)};
}

template <class Response>
void Show(const Context& context, const Response& response, std::string (*text)(const Response&)) {
  std::cout << (context.json() ? ToJson(response) + "\n" : text(response));
}

// Which part of a config is shown.
struct ConfigPart {
  uint64_t number = 0;  // 0: the newest
  std::string from;     // first start key
  uint64_t limit = 0;   // shards, at most; 0: all
  bool loads = false;   // also what they take and are asked now
};
// Page by page as they come, a table or an object for each, all of one config, however the map
// changes meanwhile. A failure says how to go on.
void ShowConfig(Context& context, const ConfigPart& part);

// shard_commands.cc: shard, explain.
void AddShardCommands(CLI::App& app, Context& context);
void AddExplainCommand(CLI::App& app, Context& context);
// show_commands.cc: one store, group or shard, and the list of configs.
void AddStoreShow(CLI::App* store, Context& context);
void AddGroupShow(CLI::App* group, Context& context);
void AddShardShow(CLI::App* shard, Context& context);
void AddConfigList(CLI::App* config, Context& context);
// config_commands.cc: shard list, config.
void AddShardListCommand(CLI::App* shard, Context& context);
void AddConfigCommands(CLI::App& app, Context& context);
// top_command.cc
void AddTopCommand(CLI::App& app, Context& context);

}  // namespace kvd::kvctl
