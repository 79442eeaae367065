// slotring_chaos: see chaos.h. Exits with 0 only if everything that must be zero is.

#include <stdlib.h>

#include <cstdio>
#include <filesystem>
#include <iostream>
#include <random>
#include <set>

#include <CLI/CLI.hpp>

#include "tests/chaos/chaos.h"

namespace slotring::chaos {
namespace {

void keep_log(const Options& options, const std::string& folder) {
  std::string log = folder + "/supervisor.log";
  if (!options.logs.empty()) {
    const std::string kept = options.logs + "/chaos-" + std::to_string(options.seed) + ".log";
    std::filesystem::create_directories(options.logs);
    std::filesystem::copy_file(log, kept, std::filesystem::copy_options::overwrite_existing);
    log = kept;
  }
  std::cerr << "the supervisor's log: " << log << "\n";
}

int run(const Options& options) {
  std::string folder = (std::filesystem::temp_directory_path() / "slotring-chaos.XXXXXX").string();
  if (::mkdtemp(folder.data()) == nullptr) {
    std::perror("a folder for the run");
    return 2;
  }
  if (!options.json) std::cout << "to repeat: " << command_line(options) << std::endl;
  Figures figures;
  {
    Chaos chaos(options, folder);
    figures = chaos.run();
  }
  std::cout << (options.json ? figures.json(options) : figures.text(options)) << std::flush;
  if (!figures.good() && options.canary.empty()) keep_log(options, folder);
  if (figures.good() || !options.canary.empty() || !options.logs.empty()) {
    std::filesystem::remove_all(folder);
  }
  return figures.good() ? 0 : 1;
}

}  // namespace
}  // namespace slotring::chaos

int main(int argc, char** argv) {
  slotring::chaos::Options options;
  options.seed = std::random_device{}();
  bool spare_supervisors = false;
  CLI::App app(
      "Kills and stops clients, workers and supervisors at random, and counts the losses.");
  app.add_option("--minutes", options.minutes, "How long")->check(CLI::PositiveNumber);
  app.add_option("--seed", options.seed, "Of the random choices; printed");
  app.add_option("--clients", options.clients, "Client processes")->check(CLI::Range(1, 30));
  app.add_option("--workers", options.workers, "Workers a pool")->check(CLI::Range(1, 16));
  app.add_option("--pool", options.pool, "Whose workers are Python's, or C++")
      ->check(CLI::IsMember({"python", "native", "template", "both"}));
  app.add_option("--events", options.events_per_second, "Kills and stops a second")
      ->check(CLI::PositiveNumber);
  app.add_flag("--no-supervisor-kills", spare_supervisors, "Supervisors are only stopped");
  app.add_flag("--json", options.json, "The figures as JSON");
  app.add_option("--logs", options.logs, "Folder where the log of a failed run is kept");
  app.add_option("--canary", options.canary, "Break something, which must make the run fail")
      ->check(CLI::IsMember({"wrong-reply", "lost-slot"}));
  CLI11_PARSE(app, argc, argv);
  options.supervisor_kills = !spare_supervisors;
  return slotring::chaos::run(options);
}
