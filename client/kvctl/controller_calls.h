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

// All pages of a config; `loads`: also what its shards take and are asked now.
v1::QueryResponse WholeConfig(Context& context, uint64_t number, bool loads = false);

// shard_commands.cc: shard, config, explain.
void AddShardCommands(CLI::App& app, Context& context);
void AddConfigCommands(CLI::App& app, Context& context);
void AddExplainCommand(CLI::App& app, Context& context);
// show_commands.cc: one store, group or shard, and the list of configs.
void AddStoreShow(CLI::App* store, Context& context);
void AddGroupShow(CLI::App* group, Context& context);
void AddShardShow(CLI::App* shard, Context& context);
void AddConfigList(CLI::App* config, Context& context);
// top_command.cc
void AddTopCommand(CLI::App& app, Context& context);

}  // namespace kvd::kvctl
