#include "client_lib/shm/waiting_policy.h"

#include <gtest/gtest.h>

namespace slotring::shm {
namespace {

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

TEST(LearnedTries, AreLeftOutAfterAFewMissesButForProbesThatBecomeRare) {
  LearnedTries tries(100);
  EXPECT_EQ(count_tries(tries, 3), 3);
  EXPECT_EQ(count_tries(tries, 32), 1);
  EXPECT_EQ(count_tries(tries, 64), 1);
  (void)count_tries(tries, 10'000);
  EXPECT_EQ(count_tries(tries, 10 * 4096), 10);
}

TEST(LearnedTries, AreProbedOftenWhereAMissIsCheap) {
  LearnedTries tries(100);
  for (int i = 0; i < 10'000; ++i) {
    if (tries.next() > 0) tries.miss(/*dear=*/false);
  }
  EXPECT_EQ(count_tries(tries, 32), 1);
}

TEST(LearnedTries, AreSpentAgainWhenAProbeHits) {
  LearnedTries tries(100);
  (void)count_tries(tries, 1000);
  tries.hit();
  EXPECT_EQ(count_tries(tries, 3 + 32), 3 + 1) << "and probes are frequent again";
}

TEST(LearnedTries, AreMoreInAProbeWhereThatIsSaid) {
  LearnedTries tries(100, /*learns=*/true, /*probe=*/700);
  EXPECT_EQ(tries.next(), 100u);
  EXPECT_EQ(count_tries(tries, 3 + 31), 3);
  EXPECT_EQ(tries.next(), 700u);
  tries.hit();
  EXPECT_EQ(tries.next(), 100u);
}

TEST(LearnedTries, AreProbedSeldomWhereAProbeFindsWhatComesTooLate) {
  LearnedTries tries(100, /*learns=*/true, /*probe=*/700);
  const auto count_spent = [&](int waits) {
    int spent = 0;
    for (int i = 0; i < waits; ++i) {
      const std::uint32_t now = tries.next();
      if (now == 0) continue;
      ++spent;
      now > 500 ? tries.hit(500) : tries.miss();
    }
    return spent;
  };
  (void)count_spent(100'000);
  EXPECT_LE(count_spent(10 * 4096), 10 * 4) << "each with the three that it makes hope";
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

TEST(LearnedTries, AreAlwaysSpentWhereNothingIsToBeLearned) {
  LearnedTries tries(100, /*learns=*/false);
  EXPECT_EQ(count_tries(tries, 1000), 1000);
}

TEST(WaitBudget, IsWhatASleepAndAWakeCost) {
  const WaitBudget cheap = wait_budget({.wake_ns = 5'000}, 2);
  const WaitBudget dear = wait_budget({.wake_ns = 50'000}, 2);
  EXPECT_EQ(cheap.worth_ns, 5'000u);
  EXPECT_NEAR(static_cast<double>(dear.spins), 10.0 * cheap.spins, 10);
  EXPECT_TRUE(cheap.learns);
}

// The wake that comes may take longer than the one that was measured.
TEST(WaitBudget, ProbesForLongerThanAnyWakeWasMeasured) {
  const WaitBudget cheap = wait_budget({.wake_ns = kLeastWakeNs}, 2);
  EXPECT_GT(cheap.probe_spins, 10 * cheap.spins);
  const WaitBudget dear = wait_budget({.wake_ns = kMostWakeNs}, 2);
  EXPECT_EQ(dear.probe_spins, dear.spins);
  const WaitBudget frugal = wait_budget({.mode = WaitingMode::kFrugal}, 2);
  EXPECT_EQ(frugal.probe_spins, frugal.spins);
}

TEST(WaitBudget, SpendsNoSpinsWhereOneCpuRuns) {
  for (const WaitingMode mode :
       {WaitingMode::kBalanced, WaitingMode::kLatency, WaitingMode::kFrugal}) {
    const WaitBudget budget = wait_budget({.wake_ns = 20'000, .mode = mode}, 1);
    EXPECT_EQ(budget.spins, 0u);
    EXPECT_EQ(budget.probe_spins, 0u);
    EXPECT_EQ(budget.spins_copying(1 << 20), 0u);
  }
}

TEST(WaitBudget, OfLatencyIsTenfoldAndAlwaysSpent) {
  const WaitBudget usual = wait_budget({.wake_ns = 20'000}, 2);
  const WaitBudget latency = wait_budget({.wake_ns = 20'000, .mode = WaitingMode::kLatency}, 2);
  EXPECT_NEAR(static_cast<double>(latency.spins), 10.0 * usual.spins, 10);
  EXPECT_FALSE(latency.learns);
  EXPECT_TRUE(usual.shares_cpu);
  EXPECT_FALSE(latency.shares_cpu) << "it takes no turns";
}

TEST(WaitBudget, OfLatencyIsLearnedOnOneCpuWhichThePeerMayNeed) {
  constexpr WaitingTerms kLatency{.wake_ns = 20'000, .mode = WaitingMode::kLatency};
  for (const WaitBudget& budget : {wait_budget(kLatency, 1), wait_budget(kLatency, 2, 1)}) {
    EXPECT_TRUE(budget.learns);
    EXPECT_GT(budget.yields, 0u);
  }
  EXPECT_EQ(wait_budget(kLatency, 2, 2).yields, 0u);
}

TEST(WaitBudget, OfFrugalityIsSmallAndNeverYields) {
  const WaitBudget usual = wait_budget({.wake_ns = 20'000}, 2);
  const WaitBudget frugal = wait_budget({.wake_ns = 20'000, .mode = WaitingMode::kFrugal}, 2);
  EXPECT_LT(frugal.spins, usual.spins / 10);
  EXPECT_EQ(frugal.yields, 0u);
}

// Any peer may have written the terms.
TEST(WaitBudget, IsBoundedWhateverTheTermsSay) {
  EXPECT_EQ(wait_budget({.wake_ns = ~0u}, 2).worth_ns, kMostWakeNs);
  EXPECT_EQ(wait_budget({.wake_ns = 1}, 2).worth_ns, kLeastWakeNs);
  EXPECT_EQ(WaitingTerms::unpack(~std::uint64_t{0}).mode, WaitingMode::kBalanced);
  const WaitingTerms terms{.wake_ns = 12'345, .mode = WaitingMode::kFrugal};
  EXPECT_EQ(WaitingTerms::unpack(terms.pack()), terms);
}

TEST(WaitBudget, AllowsForACopyByItsSize) {
  const WaitBudget budget = wait_budget({}, 2);
  EXPECT_NEAR(budget.spins_copying(1 << 20), 8.0 * budget.spins_copying(128 * 1024), 8);
  EXPECT_EQ(budget.spins_copying(1 << 30), budget.spins_copying(std::uint64_t{1} << 40));
}

}  // namespace
}  // namespace slotring::shm
