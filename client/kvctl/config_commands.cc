// shard list, config: who owns which keys, now or as it was.
#include "absl/strings/str_cat.h"
#include "client/kvctl/controller_calls.h"
#include "client/kvctl/format.h"

namespace kvd::kvctl {
namespace {

// Adds what bounds the part; `from` as it is on the command line.
void AddPartOptions(CLI::App* command, const std::shared_ptr<ConfigPart>& part) {
  command->add_option("--from", part->from, "First key; none: from the first shard");
  command->add_option("--limit", part->limit, "Shards, at most; 0: all");
}

}  // namespace

void ShowConfig(Context& context, const ConfigPart& part) {
  v1::QueryRequest request;
  request.set_config(part.number);
  request.set_loads(part.loads);
  request.set_next_key(part.from);
  uint64_t left = part.limit == 0 ? ~uint64_t{0} : part.limit;
  bool first = true;
  client::ControllerClient client = ClientOf(context);
  do {
    request.set_limit(static_cast<uint32_t>(std::min<uint64_t>(left, 20'000)));
    auto page = client.Call(&ControllerStub::Query, request);
    if (!page.ok() && !first) {
      throw Failure{absl::Status(
          page.status().code(),
          absl::StrCat(std::string(page.status().message()), "; to go on: config show ",
                       request.config(), " --from ", Escape(request.next_key())))};
    }
    if (!page.ok()) throw Failure{page.status()};
    if (!part.loads && first && !context.json()) std::cout << "config " << page->config() << "\n";
    Show(context, *page, ShardsText);
    std::cout.flush();
    first = false;
    left -= std::min<uint64_t>(left, static_cast<uint64_t>(page->shards_size()));
    request.set_config(page->config());
    request.set_next_key(page->next_key());
  } while (!request.next_key().empty() && left > 0);
}

void AddShardListCommand(CLI::App* shard, Context& context) {
  auto part = std::make_shared<ConfigPart>();
  CLI::App* list = shard->add_subcommand("list", "Show who owns which keys");
  AddPartOptions(list, part);
  list->callback([&context, part] {
    ConfigPart wanted = *part;
    wanted.from = OrFail(context.Bytes(part->from));
    wanted.loads = true;
    ShowConfig(context, wanted);
  });
}

void AddConfigCommands(CLI::App& app, Context& context) {
  CLI::App* config = app.add_subcommand("config", "Show the shard map, now or as it was");
  config->require_subcommand(1);
  AddConfigList(config, context);
  auto part = std::make_shared<ConfigPart>();
  CLI::App* show = config->add_subcommand("show", "Show a config");
  show->add_option("number", part->number, "Its number; none: the newest");
  AddPartOptions(show, part);
  show->callback([&context, part] {
    ConfigPart wanted = *part;
    wanted.from = OrFail(context.Bytes(part->from));
    ShowConfig(context, wanted);
  });
}

}  // namespace kvd::kvctl
