// slotring-supervisor: see supervisor.h for what it does, config.h for what it is told.

#include <algorithm>
#include <cstdio>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "slotring/version.h"
#include "supervisor/config.h"
#include "supervisor/launcher.h"
#include "supervisor/log_lines.h"
#include "supervisor/log_output.h"
#include "supervisor/program.h"
#include "supervisor/supervisor.h"

namespace {

using slotring::Result;
using slotring::Status;
namespace supervisor = slotring::supervisor;

constexpr int kExitUsage = 2;

int fail(const std::string& message) {
  std::fprintf(stderr, "slotring-supervisor: %s\n", message.c_str());
  return 1;
}

using supervisor::Program;

// Checks the file alone, for a person or for a running supervisor that is to be replaced.
int check(const supervisor::ConfigReading& reading, const std::string& file,
          const std::string& for_layout) {
  if (Status fits = Program::check_layout(for_layout); !fits) return fail(fits.error().message);
  std::printf("%s: %s, no errors\n", file.c_str(),
              supervisor::counted(reading.config.pools.size(), "pool").c_str());
  return 0;
}

// The pools of the file as it is now, if it still has all that run.
Result<std::vector<supervisor::PoolConfig>> check_pools_kept(
    const std::vector<supervisor::PoolConfig>& running, const std::string& config_file) {
  const supervisor::ConfigReading now = supervisor::read_config(config_file);
  for (const supervisor::PoolConfig& pool : running) {
    const auto kept = [&](const supervisor::PoolConfig& other) {
      return other.name == pool.name && other.socket == pool.socket;
    };
    const auto& pools = now.config.pools;
    if (std::any_of(pools.begin(), pools.end(), kept)) continue;
    return slotring::Error{slotring::ErrorCode::kInvalidArgument,
                           config_file + " has no longer the pool " + pool.name + " at " +
                               pool.socket + ", which runs; stop the supervisor to end a pool"};
  }
  return now.config.pools;
}

int run(const Program& program, const supervisor::Config& config, const std::string& config_file) {
  const auto check_successor = [&]() -> Result<std::vector<supervisor::PoolConfig>> {
    if (Status able = program.check_successor(); !able) return std::move(able).error();
    return check_pools_kept(config.pools, config_file);
  };
  for (;;) {
    supervisor::prepare_to_launch();
    Result<std::unique_ptr<supervisor::LogOutput>> log_output =
        supervisor::LogOutput::open(config.log);
    if (!log_output) return fail(log_output.error().to_string());
    const auto ended = supervisor::Supervisor(**log_output, check_successor).run(config.pools);
    if (!ended) return fail(ended.error().to_string());
    if (*ended == supervisor::Supervisor::Ending::kStopped) return 0;
    log_output->reset();  // writes what is queued
    // Where it does not succeed, this program takes over what it has just left.
    std::fprintf(stderr, "slotring-supervisor: %s\n", program.replace().to_string().c_str());
  }
}

int start(const Program& program, const std::string& config_file, bool only_check,
          const std::string& for_layout) {
  const supervisor::ConfigReading reading = supervisor::read_config(config_file);
  for (const supervisor::ConfigError& error : reading.errors) {
    std::fprintf(stderr, "%s\n", error.to_string().c_str());
  }
  if (!reading.ok()) return 1;
  return only_check ? check(reading, config_file, for_layout)
                    : run(program, reading.config, config_file);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Starts the Python workers of the pools of a config file, and lets clients in.");
  std::string config_file;
  bool only_check = false;
  app.add_option("--config", config_file, "The TOML file; see supervisor/config.h")->required();
  app.add_flag("--check", only_check, "Only check the file: exit status 0 or 1");
  std::string for_layout;
  app.add_option("--for-layout", for_layout,
                 "With --check: fail unless this build's shared memory is laid out so")
      ->needs("--check");
  app.set_version_flag("--version", std::string("slotring ") + slotring::version());
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? EXIT_SUCCESS : kExitUsage;
  }
  try {
    return start(Program(argv, config_file), config_file, only_check, for_layout);
  } catch (const std::exception& failed) {
    return fail(failed.what());
  }
}
