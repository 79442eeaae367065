// A figure at several sizes of something, to see whether it grows: each measured in every round, in
// an order that is shuffled over all figures and sizes, so that a machine that slows down or is
// shared slows all of them. Ratios to the smallest size are formed within a round.

#ifndef SLOTRING_TOOLS_GROWTH_REPORT_SERIES_H_
#define SLOTRING_TOOLS_GROWTH_REPORT_SERIES_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace slotring::growth {

enum class Unit { kNanoseconds, kBytes };

struct Point {
  int size;
  std::function<double()> measure = {};
  std::vector<double> rounds = {};
};

struct Series {
  std::string figure;
  std::string over = {};  // what there are `size` of
  Unit unit = Unit::kNanoseconds;
  std::string how = {};  // what was simulated, and how
  int most_rounds = 15;  // of those that take long
  std::vector<Point> points = {};
};

struct Summary {
  double median = 0;
  double lowest = 0;
  double highest = 0;
};
// All zero without values.
Summary summarize(std::vector<double> values);

// Of one point to the series' first, which is the smallest.
std::vector<double> ratios(const Series& series, const Point& point);

// `progress(done, all, what)` is called before each measurement.
void measure(std::vector<Series>& all, int rounds, std::uint64_t seed,
             const std::function<void(int, int, const std::string&)>& progress);

}  // namespace slotring::growth

#endif  // SLOTRING_TOOLS_GROWTH_REPORT_SERIES_H_
