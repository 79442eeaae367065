// slotring-supervisor: see supervisor.h for what it does, config.h for what it is told.

#include <cstdio>
#include <exception>
#include <memory>
#include <string>

#include <CLI/CLI.hpp>

#include "slotring/version.h"
#include "supervisor/config.h"
#include "supervisor/launcher.h"
#include "supervisor/log_output.h"
#include "supervisor/supervisor.h"

namespace {

using slotring::Result;
using slotring::Status;
namespace supervisor = slotring::supervisor;

int fail(const std::string& message) {
  std::fprintf(stderr, "slotring-supervisor: %s\n", message.c_str());
  return 1;
}

int run(const std::string& config_file, bool only_check) {
  const supervisor::ConfigReading reading = supervisor::read_config(config_file);
  for (const supervisor::ConfigError& error : reading.errors) {
    std::fprintf(stderr, "%s\n", error.to_string().c_str());
  }
  if (!reading.ok()) return 1;
  if (only_check) {
    std::printf("%s: %zu pools, no errors\n", config_file.c_str(), reading.config.pools.size());
    return 0;
  }
  supervisor::prepare_to_launch();
  Result<std::unique_ptr<supervisor::LogOutput>> log_output =
      supervisor::LogOutput::open(reading.config.log);
  if (!log_output) return fail(log_output.error().message);
  const Status ended = supervisor::Supervisor(**log_output).run(reading.config.pools);
  return ended ? 0 : fail(ended.error().to_string());
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Starts the Python workers of the pools of a config file, and lets clients in.");
  std::string config_file;
  bool only_check = false;
  app.add_option("--config", config_file, "The TOML file; see supervisor/config.h")->required();
  app.add_flag("--check", only_check, "Only check the file: exit status 0 or 1");
  app.set_version_flag("--version", std::string("slotring ") + slotring::version());
  CLI11_PARSE(app, argc, argv);
  try {
    return run(config_file, only_check);
  } catch (const std::exception& failed) {
    return fail(failed.what());
  }
}
