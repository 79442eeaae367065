#include "supervisor/restart_policy.h"

#include <gtest/gtest.h>

namespace slotring::supervisor {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr double kMiddle = 0.5;  // the chance that leaves a delay as it is

class RestartPolicyTest : public ::testing::Test {
 protected:
  // A worker dies `later` after the one before.
  std::optional<milliseconds> die(milliseconds later, milliseconds ready_for = milliseconds(0),
                                  StartEnd end = StartEnd::kWorkerDied) {
    now_ += later;
    return policy_.plan(now_, ready_for, end, kMiddle);
  }

  RestartLimits limits_{milliseconds(100), seconds(2), 5, seconds(10)};
  RestartPolicy policy_{limits_};
  RestartPolicy::Clock::time_point now_{seconds(1000)};
};

TEST_F(RestartPolicyTest, DelaysDoubleUpToTheirMaximum) {
  const milliseconds apart = seconds(11);  // so that no loop is seen
  for (const int expected : {100, 200, 400, 800, 1600, 2000, 2000}) {
    EXPECT_EQ(die(apart), milliseconds(expected));
  }
}

TEST_F(RestartPolicyTest, ManyDeathsWithinTheWindowEndTheLoop) {
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(die(seconds(1)).has_value());
  EXPECT_FALSE(die(seconds(1)).has_value());
}

TEST_F(RestartPolicyTest, DeathsThatLeftTheWindowDoNotCount) {
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(die(milliseconds(2501)).has_value());
}

TEST_F(RestartPolicyTest, AWorkerThatWasReadyForLongIsReplacedAtOnce) {
  for (int i = 0; i < 4; ++i) die(milliseconds(1));
  EXPECT_EQ(die(milliseconds(1), seconds(10)), milliseconds(0));
  EXPECT_EQ(die(milliseconds(1)), milliseconds(100)) << "the record was not cleared";
}

TEST_F(RestartPolicyTest, AShortageDelaysAndNeverEndsTheLoop) {
  for (int i = 0; i < 100; ++i) {
    const auto delay = die(milliseconds(1), milliseconds(0), StartEnd::kShortage);
    ASSERT_TRUE(delay.has_value());
    EXPECT_LE(*delay, limits_.delay_max);
  }
}

TEST_F(RestartPolicyTest, AWorkerThatWasRecycledIsReplacedAtOnceAndDoesNotCount) {
  for (int i = 0; i < 4; ++i) (void)die(milliseconds(1));
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(die(milliseconds(1), milliseconds(1), StartEnd::kRecycled), milliseconds(0));
  }
  EXPECT_FALSE(die(milliseconds(1)).has_value()) << "the crash loop before was forgotten";
}

TEST_F(RestartPolicyTest, AnOverdueCallNeverEndsTheLoopAndItsDelayStaysTheFirst) {
  for (int i = 0; i < 3; ++i) (void)die(milliseconds(1));
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(die(milliseconds(1), seconds(1), StartEnd::kOverdueCall), milliseconds(100));
  }
  EXPECT_TRUE(die(milliseconds(1)).has_value()) << "the deaths before count as before";
  EXPECT_FALSE(die(milliseconds(1)).has_value());
}

TEST_F(RestartPolicyTest, NoNumberOfDeathsMeansThatItNeverGivesUp) {
  limits_.crash_loop_deaths = 0;
  policy_ = RestartPolicy(limits_);
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(die(milliseconds(1)).has_value());
}

TEST_F(RestartPolicyTest, ChanceSpreadsADelayByAQuarter) {
  EXPECT_EQ(policy_.plan(now_, milliseconds(0), StartEnd::kWorkerDied, 0), milliseconds(75));
  policy_ = RestartPolicy(limits_);
  EXPECT_EQ(policy_.plan(now_, milliseconds(0), StartEnd::kWorkerDied, 0.999), milliseconds(124));
}

}  // namespace
}  // namespace slotring::supervisor
