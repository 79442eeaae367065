#include "client_lib/shm/adaptive_wait.h"

#include <gtest/gtest.h>

namespace slotring::shm {
namespace {

constexpr std::uint64_t kMillisecond = 1'000'000;

int count_tries(LearnedTries& tries, int waits) {
  int spent = 0;
  for (int i = 0; i < waits; ++i) {
    if (tries.next() > 0) {
      ++spent;
      tries.miss();
    }
  }
  return spent;
}

TEST(LearnedTries, AreSpentWhileTheyPay) {
  LearnedTries tries(100);
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(tries.next(), 100u);
    tries.hit();
  }
}

TEST(LearnedTries, AreLeftOutAfterAFewMissesButForAProbe) {
  LearnedTries tries(100);
  EXPECT_EQ(count_tries(tries, 3), 3);
  EXPECT_EQ(count_tries(tries, 320), 10);
}

TEST(LearnedTries, AreSpentAgainWhenAProbeHits) {
  LearnedTries tries(100);
  (void)count_tries(tries, 10);
  tries.hit();
  EXPECT_EQ(tries.next(), 100u);
}

TEST(LearnedTries, ForgiveASingleMiss) {
  LearnedTries tries(100);
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(tries.next(), 100u);
    if (i % 2 == 0)
      tries.miss();
    else
      tries.hit();
  }
}

class AdaptiveWaitTest : public ::testing::Test {
 protected:
  // Waits until done() was asked `looks` times; sleeps are counted, and take no time.
  bool wait_for_looks(int looks, MonotonicNs deadline = kNever) {
    return waiting_.wait([&] { return looks-- <= 0; }, [this] { ++sleeps_; }, deadline);
  }

  AdaptiveWait waiting_;
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
  const auto count_looks = [this] {
    int looks = 0;
    sleeps_ = 0;
    waiting_.wait([&] { return ++looks, sleeps_ == 1; }, [this] { ++sleeps_; }, kNever);
    return looks;
  };
  const int usual = count_looks();
  waiting_.expect_copy(1 << 20);
  EXPECT_EQ(count_looks(), usual + static_cast<int>(spins_worth_copying(1 << 20)));
  EXPECT_EQ(count_looks(), usual);
  EXPECT_EQ(spins_worth_copying(1 << 20), 8 * spins_worth_a_sleep());
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

TEST_F(AdaptiveWaitTest, PrefersBeingDoneToItsDeadline) { EXPECT_TRUE(wait_for_looks(0, 1)); }

TEST(SpinsWorthASleep, AreMeasuredOnceAndBounded) {
  const std::uint32_t spins = spins_worth_a_sleep();
  EXPECT_EQ(spins_worth_a_sleep(), spins);
  EXPECT_LE(spins, 20'000u);
}

}  // namespace
}  // namespace slotring::shm
