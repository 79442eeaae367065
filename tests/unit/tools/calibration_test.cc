#include "tools/bench/calibration.h"

#include <gtest/gtest.h>

namespace slotring::bench {
namespace {

constexpr Calibration kFast{.exchange_ns = 100, .work_ns = 30'000};
constexpr Calibration kSlow{.exchange_ns = 630, .work_ns = 30'000};

Calibration slower(Calibration calibration, double share) {
  calibration.exchange_ns *= 1 + share;
  return calibration;
}

TEST(Calibration, AgreesWithItself) { EXPECT_TRUE(agree(kFast, kFast)); }

TEST(Calibration, AgreesWithOneThatIsApartByLessThanTheBound) {
  EXPECT_TRUE(agree(kFast, slower(kFast, kCalibrationBound * 0.9)));
  EXPECT_FALSE(agree(kFast, slower(kFast, kCalibrationBound * 1.1)));
}

TEST(Calibration, AgreesWhicheverOfTheTwoIsSlower) {
  const Calibration near = slower(kFast, kCalibrationBound * 0.9);
  const Calibration far = slower(kFast, kCalibrationBound * 1.1);
  EXPECT_TRUE(agree(near, kFast));
  EXPECT_FALSE(agree(far, kFast));
}

TEST(Calibration, DisagreesAcrossTheRegimesOfAVirtualCpu) { EXPECT_FALSE(agree(kFast, kSlow)); }

TEST(Calibration, DisagreesWhenOnlyComputingHasBecomeSlower) {
  Calibration throttled = kFast;
  throttled.work_ns *= 1 + 2 * kCalibrationBound;
  EXPECT_FALSE(agree(kFast, throttled));
}

TEST(Calibration, AgreesWithNothingWhenNothingWasMeasured) {
  EXPECT_FALSE(agree(Calibration{}, Calibration{}));
  EXPECT_FALSE(agree(kFast, Calibration{}));
}

TEST(Turn, TellsSomethingWhenTheMachineStayedTheSame) {
  EXPECT_EQ(why_refused(kFast, kFast, 0), "");
  EXPECT_EQ(why_refused(kSlow, kSlow, kOthersBound), "");
}

TEST(Turn, IsRefusedWhenTheMachineChangedMeanwhile) {
  EXPECT_EQ(why_refused(kFast, kSlow, 0), "the machine changed meanwhile");
}

TEST(Turn, IsRefusedWhenOtherProgramsTookTheCpus) {
  EXPECT_EQ(why_refused(kFast, kFast, kOthersBound * 1.1), "other programs took the CPUs");
}

}  // namespace
}  // namespace slotring::bench
