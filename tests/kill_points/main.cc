// slotring_kill_points: kills or pauses every operation of the protocol before each of its
// instructions, or before some of them, and looks at what is left (experiment.h).

#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "tests/kill_points/canary.h"
#include "tests/kill_points/experiment.h"
#include "tests/kill_points/stream_stage.h"
#include "tests/support/random_source.h"

namespace slotring::testing {
namespace {

constexpr std::uint32_t kMostToldOf = 5;  // failures of one experiment
constexpr int kTriesOfStrays = 3;
constexpr int kSkipped = 77;  // what ctest takes for a skipped test

struct Options {
  bool kill = false;
  bool pause = false;
  bool single_steps_only = false;
  bool canary = false;
  bool stream = false;
  bool list = false;
  std::uint32_t points = 80;
  std::uint32_t stride = 1;
  std::optional<std::uint32_t> offset;
  std::optional<std::uint32_t> point;
  std::optional<bool> waiting;
  std::string operation;
};

struct Row {
  std::uint32_t instructions = 0;
  std::uint32_t points = 0;
  std::uint32_t strayed = 0;
  std::uint32_t failures = 0;
  double seconds = 0;
};

const char* cut_name(Cut cut) { return cut == Cut::kKill ? "kill" : "pause"; }

std::vector<Experiment> chosen(const Options& options) {
  std::vector<Experiment> all;
  if (options.canary) {
    all.assign(canary::experiments().begin(), canary::experiments().end());
  } else {
    for (const Cut cut : {Cut::kKill, Cut::kPause}) {
      for (const LastOperation& operation : last_operations()) {
        for (const bool waiting : {false, true}) {
          all.push_back({.operation = operation, .cut = cut, .somebody_waits = waiting});
        }
      }
    }
  }
  const bool both = options.kill == options.pause;
  std::erase_if(all, [&](const Experiment& e) {
    return (!both && options.kill != (e.cut == Cut::kKill)) ||
           (options.waiting && *options.waiting != e.somebody_waits) ||
           (!options.operation.empty() && options.operation != e.operation.name);
  });
  for (Experiment& experiment : all) experiment.single_steps_only = options.single_steps_only;
  return all;
}

void tell_failure(const Experiment& experiment, const Options& options, std::uint32_t point,
                  const std::string& damage) {
  std::printf("FAILED before instruction %u: %s\n", point, damage.c_str());
  std::printf("  repeat with: slotring_kill_points%s --%s --operation %s --waiting %s --point %u\n",
              options.canary ? " --canary" : "", cut_name(experiment.cut),
              experiment.operation.name, experiment.somebody_waits ? "true" : "false", point);
}

Row run(const Experiment& experiment, const Options& options, RandomSource& random) {
  const auto began = std::chrono::steady_clock::now();
  // The first one of all allocates otherwise than those after it.
  (void)try_point(experiment, trace_of(experiment), 0);
  Trace trace = trace_of(experiment);
  Row row{.instructions = trace.size()};
  // The last point is the one after the last instruction.
  const std::uint32_t first =
      options.point ? *options.point : options.offset.value_or(random.below(options.stride));
  for (std::uint32_t point = first; point <= trace.size(); point += options.stride) {
    Outcome outcome = try_point(experiment, trace, point);
    for (int i = 0; outcome.strayed && outcome.damage.empty() && i < kTriesOfStrays; ++i) {
      trace = trace_of(experiment);
      row.instructions = trace.size();
      outcome = try_point(experiment, trace, point);
    }
    ++row.points;
    row.strayed += outcome.strayed ? 1 : 0;
    if (!outcome.damage.empty() && ++row.failures <= kMostToldOf) {
      tell_failure(experiment, options, point, outcome.damage);
    }
    if (options.point) break;
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  row.seconds = took.count();
  return row;
}

void print(const char* operation, const char* cut, const char* waiting, const Row& row) {
  std::printf("%-22s %-6s %-8s %12u %8u %8u %9u %9.1f\n", operation, cut, waiting, row.instructions,
              row.points, row.strayed, row.failures, row.seconds);
  std::fflush(stdout);
}

void print_titles() {
  std::printf("%-22s %-6s %-8s %12s %8s %8s %9s %9s\n", "operation", "cut", "waiting",
              "instructions", "points", "strayed", "failures", "seconds");
}

// Kills the client, or the worker, of a call with a stream and tools.
Row run_stream(const StreamExperiment& experiment, std::uint32_t points, RandomSource& random) {
  const char* victim = experiment.victim == Victim::kClient ? "client" : "worker";
  const auto began = std::chrono::steady_clock::now();
  const std::vector<std::uint32_t> marks = marks_of(experiment);
  Row row;
  for (const std::uint32_t instructions : marks) row.instructions += instructions;
  for (const StreamPoint& point : spread(marks, points, random.below(1000) / 1000.0)) {
    const std::string damage = damage_of_kill(experiment, point);
    ++row.points;
    if (damage.empty() || ++row.failures > kMostToldOf) continue;
    std::printf("FAILED with the %s killed %u instructions behind mark %u of %zu: %s\n", victim,
                point.instructions, point.mark, marks.size() - 1, damage.c_str());
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  row.seconds = took.count();
  print(experiment.repeats_items ? "StreamRepeated" : "Stream", victim, "-", row);
  return row;
}

int run_streams(const Options& options) {
  RandomSource random;
  print_titles();
  std::uint32_t failures = 0;
  for (const Victim victim : {Victim::kClient, Victim::kWorker}) {
    failures += run_stream({.victim = victim}, options.points, random).failures;
  }
  return failures > 0 ? 1 : 0;
}

int run_all(const Options& options) {
  RandomSource random;
  print_titles();
  Row total;
  bool all_failed = true;
  for (const Experiment& experiment : chosen(options)) {
    const Row row = run(experiment, options, random);
    print(experiment.operation.name, cut_name(experiment.cut),
          experiment.somebody_waits ? "one" : "nobody", row);
    all_failed = all_failed && row.failures > 0;
    total.instructions += row.instructions;
    total.points += row.points;
    total.strayed += row.strayed;
    total.failures += row.failures;
    total.seconds += row.seconds;
  }
  print("total", "", "", total);
  if (total.points == 0) return std::puts("nothing was tried"), 2;
  if (options.canary) {
    const StreamExperiment repeated{.victim = Victim::kWorker, .repeats_items = true};
    all_failed = all_failed && run_stream(repeated, /*points=*/20, random).failures > 0;
    std::puts(all_failed ? "every canary was caught" : "A CANARY WAS NOT CAUGHT");
    return all_failed ? 1 : 2;
  }
  return total.failures > 0 ? 1 : 0;
}

}  // namespace
}  // namespace slotring::testing

int main(int argc, char** argv) {
  using slotring::testing::Options;
  Options options;
  CLI::App app("Kills or pauses operations of the protocol before each of their instructions.");
  app.add_flag("--kill", options.kill, "Only kills");
  app.add_flag("--pause", options.pause, "Only pauses");
  app.add_option("--operation", options.operation, "Only this operation");
  app.add_option("--waiting", options.waiting,
                 "Only with, or without, a client that waits in line");
  app.add_option("--stride", options.stride, "Every n-th instruction, from a random one on")
      ->check(CLI::Range(1u, 1'000'000u));
  app.add_option("--offset", options.offset, "The first instruction, instead of a random one");
  app.add_option("--point", options.point, "Only this instruction");
  app.add_flag("--single-steps", options.single_steps_only, "No breakpoints on the way: slow");
  app.add_flag("--canary", options.canary,
               "Seeded bugs instead: exits with 1 when each was caught, else with 2");
  app.add_flag("--stream", options.stream,
               "Instead: kills the client, then the worker, of a call with a stream and tools");
  app.add_option("--points", options.points, "How many points of that, for each of the two");
  app.add_flag("--list", options.list, "The operations");
  CLI11_PARSE(app, argc, argv);
  if (options.list) {
    for (const auto& operation : slotring::testing::last_operations()) std::puts(operation.name);
    return 0;
  }
  if (!slotring::testing::SteppedProcess::permitted()) {
    std::puts("skipped: this process may not trace its children (ptrace)");
    return slotring::testing::kSkipped;
  }
  if (options.stream) return slotring::testing::run_streams(options);
  return slotring::testing::run_all(options);
}
