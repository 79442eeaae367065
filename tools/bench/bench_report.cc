#include "tools/bench/bench_report.h"

#include <algorithm>

#include "slotring/version.h"
#include "tools/terminal/text_table.h"

namespace slotring::bench {

using nlohmann::json;
using terminal::Align;
using terminal::decimal_text;
using terminal::duration_text;
using terminal::TextTable;

namespace {

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

// The median over the rounds of one figure.
double typical(const VariantResult& variant, double TurnResult::*figure) {
  std::vector<double> values;
  for (const TurnResult& turn : variant.rounds) values.push_back(turn.*figure);
  return median(std::move(values));
}

std::string factor_text(double factor) {
  return decimal_text(factor, factor >= 100 ? 0 : factor >= 10 ? 1 : 2);
}

std::string variant_table(const BenchResult& result) {
  TextTable table({{"VARIANT"},
                   {"P50", Align::kRight},
                   {"P90", Align::kRight},
                   {"P99", Align::kRight},
                   {"P99.9", Align::kRight},
                   {"CALLS/S", Align::kRight},
                   {"CPU A CALL", Align::kRight},
                   {"FAULTS A CALL", Align::kRight},
                   {"FAIRNESS", Align::kRight},
                   {"WHAT"}});
  for (const VariantResult& variant : result.variants) {
    table.add_row({variant.name, duration_text(typical(variant, &TurnResult::p50_ns)),
                   duration_text(typical(variant, &TurnResult::p90_ns)),
                   duration_text(typical(variant, &TurnResult::p99_ns)),
                   duration_text(typical(variant, &TurnResult::p999_ns)),
                   decimal_text(typical(variant, &TurnResult::calls_per_second), 0),
                   duration_text(1000 * typical(variant, &TurnResult::cpu_us_per_call)),
                   decimal_text(typical(variant, &TurnResult::page_faults_per_call), 2),
                   decimal_text(typical(variant, &TurnResult::fairness), 2), variant.description});
  }
  return table.to_string();
}

std::string ratio_table(const BenchResult& result) {
  TextTable table({{"RATIO"},
                   {"MEDIAN", Align::kRight},
                   {"LOWEST", Align::kRight},
                   {"HIGHEST", Align::kRight}});
  for (const RatioResult& ratio : result.ratios) {
    if (ratio.rounds.empty()) continue;
    const auto [lowest, highest] = std::minmax_element(ratio.rounds.begin(), ratio.rounds.end());
    table.add_row({ratio.name, factor_text(median(ratio.rounds)), factor_text(*lowest),
                   factor_text(*highest)});
  }
  return table.empty() ? "" : "\n" + table.to_string();
}

std::string skipped_lines(const BenchResult& result) {
  std::string lines;
  for (const SkippedVariant& variant : result.skipped) {
    lines += "Skipped " + variant.name + ": " + variant.reason + ".\n";
  }
  return lines;
}

}  // namespace

json turn_json(const TurnResult& turn) {
  return {{"p50_ns", turn.p50_ns},
          {"p90_ns", turn.p90_ns},
          {"p99_ns", turn.p99_ns},
          {"p99_9_ns", turn.p999_ns},
          {"p99_99_ns", turn.p9999_ns},
          {"calls", turn.calls},
          {"calls_per_s", turn.calls_per_second},
          {"cpu_us_per_call", turn.cpu_us_per_call},
          {"page_faults_per_call", turn.page_faults_per_call},
          {"wake_ups_per_call", turn.wake_ups_per_call},
          {"fairness", turn.fairness},
          {"others_cpu_share", turn.others_cpu_share}};
}

namespace {

json variant_json(const VariantResult& variant) {
  json rounds = json::array();
  for (const TurnResult& turn : variant.rounds) rounds.push_back(turn_json(turn));
  const TurnResult medians{
      .p50_ns = typical(variant, &TurnResult::p50_ns),
      .p90_ns = typical(variant, &TurnResult::p90_ns),
      .p99_ns = typical(variant, &TurnResult::p99_ns),
      .p999_ns = typical(variant, &TurnResult::p999_ns),
      .p9999_ns = typical(variant, &TurnResult::p9999_ns),
      .calls_per_second = typical(variant, &TurnResult::calls_per_second),
      .cpu_us_per_call = typical(variant, &TurnResult::cpu_us_per_call),
      .page_faults_per_call = typical(variant, &TurnResult::page_faults_per_call),
      .wake_ups_per_call = typical(variant, &TurnResult::wake_ups_per_call),
      .fairness = typical(variant, &TurnResult::fairness),
      .others_cpu_share = typical(variant, &TurnResult::others_cpu_share)};
  json median_figures = turn_json(medians);
  median_figures.erase("calls");
  return {{"name", variant.name},
          {"description", variant.description},
          {"median", std::move(median_figures)},
          {"rounds", std::move(rounds)}};
}

}  // namespace

std::string report_text(const BenchResult& result) {
  const BenchOptions& options = result.options;
  return variant_table(result) + ratio_table(result) + "\n" + "Echo of " +
         std::to_string(options.payload_bytes) +
         " bytes, where no other size is said. Medians of " + std::to_string(options.rounds) +
         " interleaved rounds of " + duration_text(options.seconds * 1e9) +
         " a variant, shuffled by seed " + std::to_string(options.seed) + ".\n" + "Placement " +
         std::string(to_string(options.placement)) + ", " + result.placement_note + ".\n" +
         "Every duration includes one reading of the clock, " + duration_text(result.clock_ns) +
         ".\n" + skipped_lines(result);
}

json report_json(const BenchResult& result) {
  json variants = json::array();
  for (const VariantResult& variant : result.variants) variants.push_back(variant_json(variant));
  json ratios = json::array();
  for (const RatioResult& ratio : result.ratios) {
    ratios.push_back(
        {{"name", ratio.name}, {"median", median(ratio.rounds)}, {"rounds", ratio.rounds}});
  }
  json skipped = json::array();
  for (const SkippedVariant& variant : result.skipped) {
    skipped.push_back({{"name", variant.name}, {"reason", variant.reason}});
  }
  return {{"version", version()},
          {"payload_bytes", result.options.payload_bytes},
          {"seconds_a_turn", result.options.seconds},
          {"seed", result.options.seed},
          {"placement", to_string(result.options.placement)},
          {"placement_note", result.placement_note},
          {"cpus", usable_cpus().size()},
          {"clock_ns", result.clock_ns},
          {"variants", std::move(variants)},
          {"skipped", std::move(skipped)},
          {"ratios", std::move(ratios)}};
}

}  // namespace slotring::bench
