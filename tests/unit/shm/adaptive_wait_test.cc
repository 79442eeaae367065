#include "client_lib/shm/adaptive_wait.h"

#include <unistd.h>

#include <gtest/gtest.h>

namespace slotring::shm {
namespace {

constexpr std::uint64_t kMillisecond = 1'000'000;

class AdaptiveWaitTest : public ::testing::Test {
 protected:
  // Waits until done() was asked `looks` times; sleeps are counted, and take no time.
  bool wait_for_looks(int looks, MonotonicNs deadline = kNever) {
    return waiting_.wait([&] { return looks-- <= 0; }, [this] { ++sleeps_; }, deadline);
  }

  // As on two CPUs.
  WaitBudget budget_ = wait_budget({}, 2);
  AdaptiveWait waiting_{budget_};
  int sleeps_ = 0;
};

TEST_F(AdaptiveWaitTest, NeverSleepsForWhatIsDone) {
  EXPECT_TRUE(wait_for_looks(0));
  EXPECT_EQ(sleeps_, 0);
}

TEST_F(AdaptiveWaitTest, NeverSleepsForWhatIsDoneAfterALook) {
  EXPECT_TRUE(wait_for_looks(1));
  EXPECT_EQ(sleeps_, 0);
}

TEST_F(AdaptiveWaitTest, SpinsLongerInOneWaitForWhatIsBeingCopied) {
  budget_.yields = 0;  // whether those pay is learned by the clock
  waiting_ = AdaptiveWait(budget_);
  const auto count_looks = [this] {
    int looks = 0;
    sleeps_ = 0;
    waiting_.wait([&] { return ++looks, sleeps_ == 1; }, [this] { ++sleeps_; }, kNever);
    return looks;
  };
  const int usual = count_looks();
  waiting_.expect_copy(1 << 20);
  EXPECT_EQ(count_looks(), usual + static_cast<int>(budget_.spins_copying(1 << 20)));
  EXPECT_EQ(count_looks(), usual);
}

TEST_F(AdaptiveWaitTest, SleepsForWhatTakesLong) {
  EXPECT_TRUE(waiting_.wait([this] { return sleeps_ == 3; }, [this] { ++sleeps_; }, kNever));
  EXPECT_EQ(sleeps_, 3);
}

TEST_F(AdaptiveWaitTest, LearnsToSleepAtOnce) {
  for (int i = 0; i < 10; ++i) {
    sleeps_ = 0;
    EXPECT_TRUE(waiting_.wait([this] { return sleeps_ > 0; }, [this] { ++sleeps_; }, kNever));
  }
  int looks = 0;
  sleeps_ = 0;
  const auto done = [&] { return ++looks, sleeps_ > 0; };
  EXPECT_TRUE(waiting_.wait(
      done, [this] { ++sleeps_; }, kNever));
  EXPECT_EQ(looks, 2) << "before and after its one sleep";
}

TEST_F(AdaptiveWaitTest, EndsAtItsDeadline) {
  const MonotonicNs deadline = monotonic_now() + 2 * kMillisecond;
  EXPECT_FALSE(waiting_.wait([] { return false; }, [this] { ++sleeps_; }, deadline));
  EXPECT_GE(monotonic_now(), deadline);
}

TEST_F(AdaptiveWaitTest, LearnsThatASpinEndsByItsDeadlineOnly) {
  budget_.spins = budget_.probe_spins = 1'000'000'000;
  budget_.yields = 0;
  waiting_ = AdaptiveWait(budget_);
  int looks = 0;
  const auto wait = [&] {
    looks = 0;
    EXPECT_FALSE(waiting_.wait([&] { return ++looks, false; }, [] { ::usleep(1'000); },
                               monotonic_now() + kMillisecond / 10));
  };
  for (int i = 0; i < 3; ++i) wait();
  EXPECT_GT(looks, 100);
  wait();
  EXPECT_LE(looks, 3);
}

// Others may take a slice.
TEST_F(AdaptiveWaitTest, NeverYieldsWhenItIsShortOfTime) {
  budget_.spins = budget_.probe_spins = 0;
  waiting_ = AdaptiveWait(budget_);
  int looks = 0;
  EXPECT_TRUE(waiting_.wait([&] { return ++looks, sleeps_ > 0; }, [this] { ++sleeps_; },
                            monotonic_now() + 5 * kMillisecond));
  EXPECT_EQ(looks, 2) << "before and after its one sleep";
}

TEST_F(AdaptiveWaitTest, PrefersBeingDoneToItsDeadline) { EXPECT_TRUE(wait_for_looks(0, 1)); }

// Where only one CPU can run, spinning cannot succeed.
TEST(AdaptiveWait, SpendsNoSpinsOnOneCpu) {
  AdaptiveWait waiting(wait_budget({}, 1));
  bool slept = false;
  int looks = 0;
  const auto done = [&] { return ++looks, slept; };
  EXPECT_TRUE(waiting.wait(
      done, [&] { slept = true; }, kNever));
  EXPECT_LE(looks, 4 + 2) << "one after each yield, one before and one after the sleep";
}

TEST(AdaptiveWait, OfAFrugalOneNeverYields) {
  const WaitBudget budget = wait_budget({.mode = WaitingMode::kFrugal}, 1);
  AdaptiveWait waiting(budget);
  bool slept = false;
  int looks = 0;
  const auto done = [&] { return ++looks, slept; };
  EXPECT_TRUE(waiting.wait(
      done, [&] { slept = true; }, kNever));
  EXPECT_EQ(looks, 2);
}

}  // namespace
}  // namespace slotring::shm
