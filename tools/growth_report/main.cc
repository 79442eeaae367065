// slotring_growth: what costs more when there is more of it. It measures and reports; it never
// judges.

#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <fstream>
#include <functional>
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "tests/support/temporary_folder.h"
#include "tools/bench/child_process.h"
#include "tools/bench/slotring_transport.h"
#include "tools/growth_report/figures.h"
#include "tools/growth_report/report.h"

namespace slotring::growth {
namespace {

struct Options {
  std::vector<std::string> only;
  int rounds = 15;
  std::uint64_t seed = 0;
  std::string json;
  std::string supervisor;
};

struct Group {
  const char* name;
  std::function<std::vector<Series>(const RealPools&)> prepare;
};

std::vector<Group> groups() {
  return {{"workers", [](const RealPools&) { return claims_by_workers(); }},
          {"claimers", [](const RealPools&) { return claims_by_claimers(); }},
          {"waiters", [](const RealPools&) { return claims_by_waiters(); }},
          {"clients", calls_by_clients},
          {"deaths", deaths_of_clients},
          {"starts", starts_of_workers},
          {"memory", memory_of_workers}};
}

std::vector<std::string> group_names() {
  std::vector<std::string> names;
  for (const Group& group : groups()) names.emplace_back(group.name);
  return names;
}

// One line on a terminal, drawn again and again; nothing elsewhere.
void show_progress(int done, int all, const std::string& what) {
  if (::isatty(STDERR_FILENO) == 0) return;
  std::cerr << "\r\033[K";
  if (done < all) std::cerr << done + 1 << " of " << all << ": " << what << std::flush;
}

int run(Options options) {
  bench::remember_signals();
  if (options.seed == 0) options.seed = std::random_device{}();
  const testing::TemporaryFolder folder;
  const RealPools real{folder.path(), bench::find_supervisor(options.supervisor)};
  std::vector<Series> all;
  for (const Group& group : groups()) {
    const auto& only = options.only;
    if (!only.empty() && std::find(only.begin(), only.end(), group.name) == only.end()) continue;
    for (Series& series : group.prepare(real)) all.push_back(std::move(series));
  }
  measure(all, options.rounds, options.seed, [](int done, int turns, const std::string& what) {
    bench::check_interrupted();
    show_progress(done, turns, what);
  });
  std::cout << report_text(all, options.seed);
  if (!options.json.empty()) std::ofstream(options.json) << report_json(all, options.seed).dump(2);
  return 0;
}

}  // namespace
}  // namespace slotring::growth

int main(int argc, char** argv) {
  slotring::growth::Options options;
  CLI::App app("Measures what costs more when there is more of it: workers, clients, callers.");
  app.add_option("--only", options.only, "Only these groups of figures; may be repeated")
      ->check(CLI::IsMember(slotring::growth::group_names()));
  app.add_option("--rounds", options.rounds, "At most so many of each figure; slow ones have fewer")
      ->check(CLI::Range(1, 1000));
  app.add_option("--seed", options.seed, "Of the order; it is printed");
  app.add_option("--json", options.json, "Writes all values into this file, too");
  app.add_option("--supervisor", options.supervisor, "The program slotring-supervisor");
  CLI11_PARSE(app, argc, argv);
  try {
    return slotring::growth::run(options);
  } catch (const std::exception& failure) {
    slotring::growth::show_progress(1, 1, "");
    std::cerr << "slotring_growth: " << failure.what() << "\n";
    const int signal = slotring::bench::interrupted_by();
    return signal == 0 ? 1 : 128 + signal;
  }
}
