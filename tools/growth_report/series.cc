#include "tools/growth_report/series.h"

#include <algorithm>
#include <random>
#include <utility>

namespace slotring::growth {

Summary summarize(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  const double median =
      values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
  return {median, values.front(), values.back()};
}

std::vector<double> ratios(const Series& series, const Point& point) {
  std::vector<double> found;
  const std::vector<double>& smallest = series.points.front().rounds;
  for (std::size_t round = 0; round < std::min(smallest.size(), point.rounds.size()); ++round) {
    if (smallest[round] > 0) found.push_back(point.rounds[round] / smallest[round]);
  }
  return found;
}

void measure(std::vector<Series>& all, int rounds, std::uint64_t seed,
             const std::function<void(int, int, const std::string&)>& progress) {
  int turns = 0;
  for (const Series& series : all) {
    turns += std::min(rounds, series.most_rounds) * static_cast<int>(series.points.size());
  }
  std::mt19937_64 random(seed);
  int done = 0;
  for (int round = 0; round < rounds; ++round) {
    std::vector<std::pair<Series*, Point*>> order;
    for (Series& series : all) {
      if (round >= series.most_rounds) continue;
      for (Point& point : series.points) order.emplace_back(&series, &point);
    }
    std::shuffle(order.begin(), order.end(), random);
    for (const auto& [series, point] : order) {
      progress(done++, turns,
               series->figure + ", " + std::to_string(point->size) + " " + series->over);
      point->rounds.push_back(point->measure());
    }
  }
  progress(turns, turns, "");
}

}  // namespace slotring::growth
