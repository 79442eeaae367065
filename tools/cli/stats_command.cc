// slotring stats: how many calls a pool has had, what became of them, and how long they took.

#include <iostream>
#include <memory>

#include "client_lib/call_statistics.h"
#include "tools/cli/command.h"
#include "tools/cli/observer.h"
#include "tools/cli/pool_choice.h"
#include "tools/terminal/text_table.h"

namespace slotring::cli {

namespace {

using nlohmann::json;
using terminal::Align;
using terminal::duration_text;
using terminal::TextTable;

struct StatsOptions {
  std::string pool;
  bool as_json = false;
};

// Calls `see` with the name and number of each kind of error that there was.
template <class See>
void for_each_error(const CallFigures& figures, See see) {
  for (std::size_t kind = 1; kind < figures.ended.size(); ++kind) {
    if (figures.ended[kind] == 0) continue;
    see(std::string(to_string(static_cast<ErrorCategory>(kind))), figures.ended[kind]);
  }
}

// "12", "12: 10 handler, 2 timeout"
std::string errors_text(const CallFigures& figures) {
  std::string text;
  for_each_error(figures, [&](const std::string& kind, std::uint64_t count) {
    text += (text.empty() ? ": " : ", ") + std::to_string(count) + " " + kind;
  });
  return std::to_string(figures.errors()) + text;
}

TextTable table_of(const char* title, Align align) {
  return TextTable({{title, align},
                    {"CALLS", Align::kRight},
                    {"MEAN", Align::kRight},
                    {"P50", Align::kRight},
                    {"P90", Align::kRight},
                    {"P99", Align::kRight},
                    {"LONGEST", Align::kRight},
                    {"ERRORS"}});
}

void add_figures(TextTable& table, const std::string& name, const CallFigures& figures) {
  table.add_row({name, std::to_string(figures.calls), duration_text(figures.mean),
                 duration_text(figures.p50), duration_text(figures.p90), duration_text(figures.p99),
                 duration_text(figures.longest), errors_text(figures)});
}

std::string stats_text(const PoolStatistics& statistics) {
  TextTable methods = table_of("METHOD", Align::kLeft);
  for (const MethodFigures& of : statistics.methods) {
    add_figures(methods, of.method.empty() ? "(others)" : terminal::printable(of.method),
                of.figures);
  }
  TextTable workers = table_of("WORKER", Align::kRight);
  for (const WorkerFigures& of : statistics.workers) {
    add_figures(workers, std::to_string(of.worker), of.figures);
  }
  return methods.to_string() + "\n" + workers.to_string();
}

double seconds(std::chrono::nanoseconds time) { return static_cast<double>(time.count()) / 1e9; }

json figures_json(const CallFigures& figures) {
  json errors = json::object();
  for_each_error(figures,
                 [&](const std::string& kind, std::uint64_t count) { errors[kind] = count; });
  return {{"calls", figures.calls},
          {"errors", figures.errors()},
          {"errors_by_category", std::move(errors)},
          {"mean_s", seconds(figures.mean)},
          {"p50_s", seconds(figures.p50)},
          {"p90_s", seconds(figures.p90)},
          {"p99_s", seconds(figures.p99)},
          {"longest_s", seconds(figures.longest)}};
}

json stats_json(const std::string& pool, const PoolStatistics& statistics) {
  json methods = json::array();
  for (const MethodFigures& of : statistics.methods) {
    methods.push_back(figures_json(of.figures));
    methods.back()["method"] = of.method.empty() ? json(nullptr) : json(of.method);
  }
  json workers = json::array();
  for (const WorkerFigures& of : statistics.workers) {
    workers.push_back(figures_json(of.figures));
    workers.back()["worker"] = of.worker;
  }
  return {{"pool", pool}, {"methods", std::move(methods)}, {"workers", std::move(workers)}};
}

int stats(const StatsOptions& options) {
  const std::string pool = resolve_pool(options.pool).value();
  const shm::Attachment joined = observe_pool(pool, "slotring stats").value();
  const PoolStatistics statistics = internal::read_statistics(*joined.segment);
  if (options.as_json) {
    std::cout << json_text(stats_json(joined.pool, statistics)) << "\n";
  } else {
    std::cout << stats_text(statistics);
  }
  return 0;
}

}  // namespace

void add_stats(CLI::App& root, Work& chosen) {
  const auto options = std::make_shared<StatsOptions>();
  CLI::App* command =
      root.add_subcommand("stats", "Show what became of a pool's calls, and how long they took");
  add_pool_option(*command, options->pool, AlsoPositional::kYes);
  command->add_flag("--json", options->as_json, "As JSON; times in seconds");
  command->footer(
      "Since the pool began, over all clients, those that left included. Methods: as the callers\n"
      "saw it, waiting for a slot included. Workers: the time in the handler. Percentiles come "
      "from\n"
      "a histogram and are within 25 %; LONGEST is the end of its last bucket. Past a second both\n"
      "are estimates from the mean of the calls that took longer.\n\n"
      "Examples:\n"
      "  slotring stats digits\n"
      "  slotring stats digits --json | jq '.methods[] | {method, p99_s}'\n");
  command->callback([options, &chosen] { chosen = [options] { return stats(*options); }; });
}

}  // namespace slotring::cli
