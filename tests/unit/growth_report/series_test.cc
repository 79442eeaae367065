#include "tools/growth_report/series.h"

#include <set>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace slotring::growth {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

void no_progress(int, int, const std::string&) {}

// A series whose points note that they were measured, and cost what their size is.
Series noting(const char* figure, std::vector<std::string>& notes, int most_rounds = 15) {
  Series series{.figure = figure, .over = "things", .most_rounds = most_rounds};
  for (const int size : {1, 2}) {
    series.points.push_back({size, [&notes, figure, size] {
                               notes.push_back(figure + std::to_string(size));
                               return static_cast<double>(size);
                             }});
  }
  return series;
}

std::vector<std::string> order_of(std::uint64_t seed) {
  std::vector<std::string> notes;
  std::vector<Series> all = {noting("a", notes), noting("b", notes), noting("c", notes)};
  measure(all, 3, seed, no_progress);
  return notes;
}

TEST(Summary, IsOfTheMiddleAndTheEnds) {
  const Summary odd = summarize({3, 1, 8});
  EXPECT_EQ(odd.median, 3);
  EXPECT_EQ(odd.lowest, 1);
  EXPECT_EQ(odd.highest, 8);
  EXPECT_EQ(summarize({4, 1, 2, 9}).median, 3);
}

TEST(Summary, OfNothingIsZero) { EXPECT_EQ(summarize({}).median, 0); }

TEST(Ratios, AreFormedWithinARound) {
  Series series{.figure = "a"};
  series.points.push_back({.size = 1, .rounds = {2, 10}});
  series.points.push_back({.size = 4, .rounds = {6, 15}});
  EXPECT_THAT(ratios(series, series.points[1]), ElementsAre(3, 1.5));
  EXPECT_THAT(ratios(series, series.points[0]), ElementsAre(1, 1));
}

TEST(Ratios, ToNothingAreNone) {
  Series series{.figure = "a"};
  series.points.push_back({.size = 1, .rounds = {0}});
  series.points.push_back({.size = 4, .rounds = {6}});
  EXPECT_THAT(ratios(series, series.points[1]), IsEmpty());
}

TEST(Measuring, TakesEachPointOnceARound) {
  const std::vector<std::string> order = order_of(1);
  ASSERT_EQ(order.size(), 18u);
  for (std::size_t round = 0; round < 3; ++round) {
    const auto begin = order.begin() + static_cast<std::ptrdiff_t>(round * 6);
    EXPECT_EQ(std::set<std::string>(begin, begin + 6).size(), 6u);
  }
}

TEST(Measuring, IsInAnOrderThatItsSeedRepeats) {
  EXPECT_EQ(order_of(7), order_of(7));
  EXPECT_NE(order_of(7), order_of(8));
}

TEST(Measuring, EndsForSlowSeriesSooner) {
  std::vector<std::string> notes;
  std::vector<Series> all = {noting("fast", notes), noting("slow", notes, 1)};
  int turns = 0;
  measure(all, 4, 1, [&](int, int of_all, const std::string&) { turns = of_all; });
  EXPECT_EQ(all[0].points[1].rounds.size(), 4u);
  EXPECT_THAT(all[1].points[1].rounds, ElementsAre(2));
  EXPECT_EQ(turns, 10);
}

}  // namespace
}  // namespace slotring::growth
