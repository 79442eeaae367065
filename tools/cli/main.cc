// slotring: looks at pools and calls them, from the shell.

#include <cstdlib>
#include <exception>
#include <iostream>

#include "slotring/version.h"
#include "tools/cli/command.h"
#include "tools/terminal/text_table.h"

namespace {

using slotring::cli::Work;

void add_commands(CLI::App& app, Work& chosen) {
  slotring::cli::add_ping(app, chosen);
  slotring::cli::add_status(app, chosen);
  slotring::cli::add_stats(app, chosen);
  slotring::cli::add_sessions(app, chosen);
  slotring::cli::add_methods(app, chosen);
  slotring::cli::add_call(app, chosen);
  slotring::cli::add_health(app, chosen);
  slotring::cli::add_bench(app, chosen);
  slotring::cli::add_upgrade(app, chosen);
}

int run(const Work& chosen) {
  try {
    return chosen();
  } catch (const slotring::cli::UsageError& failure) {
    std::cerr << "slotring: " << slotring::terminal::printable(failure.what()) << "\n";
    return slotring::cli::kExitUsage;
  } catch (const slotring::Exception& failure) {
    std::cerr << "slotring: " << slotring::cli::error_text(failure.error());
    return slotring::cli::exit_code(failure.error());
  } catch (const std::exception& failure) {
    std::cerr << "slotring: " << failure.what() << "\n";
    return EXIT_FAILURE;
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Looks at Slotring's pools of Python workers, calls them, and measures them.");
  app.name("slotring");
  app.set_version_flag("--version", slotring::version());
  app.require_subcommand(1);
  app.footer(
      "Pools are found in $XDG_RUNTIME_DIR/slotring (else /run/user/UID/slotring, else\n"
      "/tmp/slotring-UID). `slotring COMMAND --help` tells more.\n\n" +
      std::string(slotring::cli::exit_code_help()) + "\n");
  Work chosen;
  add_commands(app, chosen);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // Help and version are "errors" of CLI11 whose code is 0.
    return app.exit(error) == 0 ? EXIT_SUCCESS : slotring::cli::kExitUsage;
  }
  return run(chosen);
}
