#include "tools/growth_report/report.h"

#include "slotring/version.h"
#include "tools/bench/placement.h"
#include "tools/terminal/text_table.h"

namespace slotring::growth {

using nlohmann::json;
using terminal::Align;
using terminal::decimal_text;
using terminal::duration_text;
using terminal::TextTable;

namespace {

std::string value_text(Unit unit, double value) {
  if (unit == Unit::kNanoseconds) return duration_text(value);
  return value < 1024.0 * 1024 ? decimal_text(value / 1024, 0) + " KiB"
                               : decimal_text(value / 1024 / 1024, 1) + " MiB";
}

json summary_json(const Summary& summary) {
  return {{"median", summary.median}, {"lowest", summary.lowest}, {"highest", summary.highest}};
}

}  // namespace

std::string report_text(const std::vector<Series>& all, std::uint64_t seed) {
  std::string text;
  for (const Series& series : all) {
    TextTable table({{series.over, Align::kRight},
                     {"median", Align::kRight},
                     {"lowest", Align::kRight},
                     {"highest", Align::kRight},
                     {"ratio", Align::kRight},
                     {"lowest", Align::kRight},
                     {"highest", Align::kRight}});
    for (const Point& point : series.points) {
      const Summary value = summarize(point.rounds);
      const Summary ratio = summarize(ratios(series, point));
      table.add_row({std::to_string(point.size), value_text(series.unit, value.median),
                     value_text(series.unit, value.lowest), value_text(series.unit, value.highest),
                     decimal_text(ratio.median, 2), decimal_text(ratio.lowest, 2),
                     decimal_text(ratio.highest, 2)});
    }
    text += series.figure + "\n  (" + series.how + ")\n" + table.to_string() + "\n";
  }
  return text + "Medians and ranges of interleaved rounds, shuffled by seed " +
         std::to_string(seed) + ", on " + std::to_string(bench::usable_cpus().size()) +
         " CPUs.\nRatio: to the smallest size, formed within a round.\n";
}

json report_json(const std::vector<Series>& all, std::uint64_t seed) {
  json figures = json::array();
  for (const Series& series : all) {
    json points = json::array();
    for (const Point& point : series.points) {
      points.push_back({{"size", point.size},
                        {"value", summary_json(summarize(point.rounds))},
                        {"ratio", summary_json(summarize(ratios(series, point)))},
                        {"rounds", point.rounds}});
    }
    figures.push_back({{"figure", series.figure},
                       {"over", series.over},
                       {"unit", series.unit == Unit::kNanoseconds ? "ns" : "bytes"},
                       {"how", series.how},
                       {"points", std::move(points)}});
  }
  return {{"version", version()},
          {"seed", seed},
          {"cpus", bench::usable_cpus().size()},
          {"figures", std::move(figures)}};
}

}  // namespace slotring::growth
