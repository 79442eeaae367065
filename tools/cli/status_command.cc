// slotring status: who is in a pool, and what they do at this moment.

#include <iostream>
#include <memory>

#include "tools/cli/command.h"
#include "tools/cli/pool_choice.h"
#include "tools/cli/pool_view.h"
#include "tools/cli/status_report.h"

namespace slotring::cli {

namespace {

using nlohmann::json;

struct StatusOptions {
  std::string pool;
  bool all_slots = false;
  bool as_json = false;
};

// The pools to show: the one that was named, or all that have a socket. Errors: POOL_NOT_FOUND.
Result<std::vector<std::string>> pools_to_show(const StatusOptions& options) {
  if (options.pool.empty()) {
    std::vector<std::string> sockets = socket_files();
    if (sockets.size() > 1) return sockets;
  }
  Result<std::string> only = resolve_pool(options.pool);
  if (!only) return std::move(only).error();
  return std::vector<std::string>{*std::move(only)};
}

int status(const StatusOptions& options) {
  const std::vector<std::string> pools = pools_to_show(options).value();
  json shown = json::array();
  std::string text;
  int code = 0;
  for (const std::string& pool : pools) {
    const Result<PoolView> view = look_at_pool(pool);
    if (!view) {
      std::cerr << "slotring: " << pool << ": " << error_text(view.error());
      code = exit_code(view.error());
      continue;
    }
    if (options.as_json) {
      shown.push_back(status_json(*view));
    } else {
      text += (text.empty() ? "" : "\n\n") + status_text(*view, options.all_slots);
    }
  }
  // One pool that was asked for is an object, as programs expect; all that there are make a list.
  if (!options.as_json) {
    std::cout << text;
  } else if (options.pool.empty()) {
    std::cout << json_text(shown) << "\n";
  } else if (!shown.empty()) {
    std::cout << json_text(shown.front()) << "\n";
  }
  return code;
}

}  // namespace

void add_status(CLI::App& root, Work& chosen) {
  const auto options = std::make_shared<StatusOptions>();
  CLI::App* command =
      root.add_subcommand("status", "Show workers, slots, clients and waiting callers");
  add_pool_option(*command, options->pool, AlsoPositional::kYes);
  command->add_flag("--slots", options->all_slots, "Every slot, not only those that are in use");
  command->add_flag("--json", options->as_json,
                    "Everything as JSON: an object for the pool that was named, else a list");
  command->footer(
      "Without POOL, all pools with a socket in the runtime folder. Nothing is asked of the "
      "workers:\n"
      "it is read from the pool's shared memory, a word at a time, while they work.\n\n"
      "Examples:\n"
      "  slotring status\n"
      "  slotring status digits --json | jq '.workers[].calls'\n");
  command->callback([options, &chosen] { chosen = [options] { return status(*options); }; });
}

}  // namespace slotring::cli
