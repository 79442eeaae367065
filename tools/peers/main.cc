// slotring-compare: Slotring and its peers, measured by turns; run by tools/compare.

#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>

#include <CLI/CLI.hpp>

#include "slotring/error.h"
#include "tools/bench/child_process.h"
#include "tools/peers/comparison.h"
#include "tools/peers/results.h"

namespace slotring::peers {

namespace {

struct Arguments {
  ComparisonOptions options;
  std::string results;
  bool list = false;
};

const std::map<std::string, Depth> kDepths = {
    {"quick", Depth::kQuick}, {"usual", Depth::kUsual}, {"full", Depth::kFull}};

// One line on a terminal, drawn again and again; elsewhere a line for each round of a section.
void show(const Progress& progress) {
  static std::string last_round;
  const std::string round = progress.section + ", round " + std::to_string(progress.round + 1);
  if (::isatty(STDERR_FILENO) != 0) {
    std::cerr << "\r\033[K" << progress.done << " of " << progress.all << " turns: " << round
              << ": " << progress.peer << ", " << progress.point << std::flush;
  } else if (round != last_round) {
    std::cerr << progress.done << " of " << progress.all << " turns: " << round << std::endl;
  }
  last_round = round;
}

void say_who_is_missing(const std::vector<Peer>& peers, std::ostream& out) {
  for (const Peer& peer : peers) {
    if (!peer.why_missing.empty())
      out << "Left out: " << peer.name << " " << peer.why_missing << "\n";
  }
}

int list() {
  for (const Peer& peer : all_peers()) {
    std::cout << peer.name << ": " << peer.description << "\n";
    if (!peer.why_missing.empty()) std::cout << "  " << peer.why_missing << "\n";
  }
  return 0;
}

// Refused turns and failed points, in short.
void say_what_tells_nothing(const Comparison& comparison) {
  std::map<std::string, int> refused;
  int samples = 0;
  for (const PointResult& point : comparison.points) {
    if (!point.failed.empty()) {
      std::cerr << "Failed: " << point.peer << ", " << point.section << ", " << point.point.name
                << ": " << point.failed << "\n";
    }
    for (const Sample& sample : point.samples) {
      ++samples;
      if (!sample.refused.empty()) ++refused[sample.refused];
    }
  }
  for (const auto& [reason, count] : refused) {
    std::cerr << "Refused " << count << " of " << samples << " turns: " << reason << "\n";
  }
}

int compare(const Arguments& arguments) {
  say_who_is_missing(all_peers(), std::cerr);
  const Comparison comparison = run_comparison(arguments.options, show);
  if (::isatty(STDERR_FILENO) != 0) std::cerr << "\r\033[K";
  say_what_tells_nothing(comparison);
  std::ofstream file(arguments.results);
  file << results_json(comparison).dump(1) << "\n";
  file.close();
  if (!file) {
    std::cerr << "slotring-compare: cannot write " << arguments.results << "\n";
    return 1;
  }
  return 0;
}

std::vector<std::string> peer_names() {
  std::vector<std::string> names;
  for (const Peer& peer : all_peers()) names.push_back(peer.name);
  return names;
}

int run(int argc, char** argv) {
  CLI::App app("Measures Slotring and its peers by turns, and writes what came as JSON.");
  Arguments arguments;
  ComparisonOptions& options = arguments.options;
  app.add_flag("--list", arguments.list, "Say which peers there are, and which are missing");
  app.add_option("--results", arguments.results, "The file to write");
  app.add_option("--depth", options.depth, "quick, usual or full")
      ->transform(CLI::CheckedTransformer(kDepths));
  app.add_option("--only", options.only, "Peers")
      ->delimiter(',')
      ->check(CLI::IsMember(peer_names()));
  app.add_option("--sections", options.sections, "Sections; default: all")->delimiter(',');
  app.add_option("--seconds", options.seconds, "How long a turn is measured")
      ->capture_default_str()
      ->check(CLI::Range(0.02, 60.0));
  app.add_option("--rounds", options.rounds, "How many, whatever the depth")
      ->check(CLI::Range(1, 1000));
  app.add_option("--seed", options.seed, "Of the order; default: a random one");
  CLI11_PARSE(app, argc, argv);
  if (arguments.list) return list();
  if (arguments.results.empty()) {
    std::cerr << "slotring-compare: where to? Give --results FILE\n";
    return 2;
  }
  return compare(arguments);
}

}  // namespace

}  // namespace slotring::peers

int main(int argc, char** argv) {
  // One thread a worker, and nothing written beside the sources; inherited by all.
  ::setenv("OMP_NUM_THREADS", "1", 1);
  ::setenv("OPENBLAS_NUM_THREADS", "1", 1);
  ::setenv("PYTHONDONTWRITEBYTECODE", "1", 1);
  try {
    return slotring::peers::run(argc, argv);
  } catch (const std::exception& failure) {
    const int signal = slotring::bench::interrupted_by();
    if (signal == 0) {
      std::cerr << "slotring-compare: " << failure.what() << "\n";
      return 1;
    }
    // End as one does who does not catch the signal: the script that waits then ends as well.
    std::signal(signal, SIG_DFL);
    std::raise(signal);
    return 128 + signal;
  }
}
