// slotring health: does every worker of the pool answer?

#include <memory>

#include "tools/cli/command.h"
#include "tools/cli/pool_choice.h"
#include "tools/cli/worker_report.h"

namespace slotring::cli {

namespace {

struct HealthOptions {
  std::string pool;
  double timeout_s = 5;
  bool as_json = false;
};

int health(const HealthOptions& options) {
  const std::string pool = resolve_pool(options.pool).value();
  Client client = Client::attach(pool, {.name = "slotring health"}).value();
  const PoolHealth found = client.check_health(timeout_of(options.timeout_s)).value();
  return print_health(client.pool(), found, options.as_json);
}

}  // namespace

void add_health(CLI::App& root, Work& chosen) {
  const auto options = std::make_shared<HealthOptions>();
  CLI::App* command = root.add_subcommand("health", "Call every worker of a pool; for monitoring");
  add_pool_option(*command, options->pool, AlsoPositional::kYes);
  add_seconds_option(*command, "--timeout", options->timeout_s,
                     "For all answers, in seconds; 0 is none");
  command->add_flag("--json", options->as_json, "The answers as JSON");
  command->footer(
      "Exit status: 0 when every worker that should serve has answered ping, 1 when one has not "
      "or\n"
      "there is none (in a lazy pool there may be none), and 11 and more when the pool itself "
      "cannot be reached (see slotring "
      "call).\n\n"
      "Example:\n"
      "  slotring health digits --timeout 2 || page-somebody\n");
  command->callback([options, &chosen] { chosen = [options] { return health(*options); }; });
}

}  // namespace slotring::cli
