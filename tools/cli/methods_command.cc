// slotring methods: what a pool can do.

#include <iostream>
#include <memory>

#include "tools/cli/command.h"
#include "tools/cli/pool_choice.h"
#include "tools/terminal/text_table.h"

namespace slotring::cli {

namespace {

using nlohmann::json;

struct MethodsOptions {
  std::string pool;
  double timeout_s = 5;
  bool as_json = false;
};

std::string member(const json& method, const char* name) {
  if (!method.is_object() || !method.contains(name) || !method[name].is_string()) return "?";
  return terminal::printable(method[name].get<std::string>());
}

int methods(const MethodsOptions& options) {
  const std::string pool = resolve_pool(options.pool).value();
  Client client = Client::attach(pool, {.name = "slotring methods"}).value();
  const json answer = call_builtin(client, "methods", timeout_of(options.timeout_s)).value();
  if (options.as_json || !answer.is_array()) {
    std::cout << json_text(answer) << "\n";
    return 0;
  }
  terminal::TextTable table({{"METHOD"}, {"SUMMARY"}});
  for (const json& method : answer) {
    table.add_row({member(method, "signature"), member(method, "summary")});
  }
  std::cout << table.to_string();
  return 0;
}

}  // namespace

void add_methods(CLI::App& root, Work& chosen) {
  const auto options = std::make_shared<MethodsOptions>();
  CLI::App* command = root.add_subcommand("methods", "List the methods that a pool's workers have");
  add_pool_option(*command, options->pool, AlsoPositional::kYes);
  add_seconds_option(*command, "--timeout", options->timeout_s,
                     "For the answer, in seconds; 0 is none");
  command->add_flag("--json", options->as_json, "The answer as JSON");
  command->callback([options, &chosen] { chosen = [options] { return methods(*options); }; });
}

}  // namespace slotring::cli
