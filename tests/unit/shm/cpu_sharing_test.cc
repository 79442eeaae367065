#include "client_lib/shm/cpu_sharing.h"

#include <utility>

#include <gtest/gtest.h>

namespace slotring::shm {
namespace {

using Part = CpuSharing::Part;

constexpr MonotonicNs kSecond = 1'000'000'000;

// A machine on which giving up the CPU takes `away`, after a call `cold` besides, and which has
// `cpus`.
struct Machine {
  MonotonicNs now = 1'000'000'000;
  MonotonicNs away = 400;
  MonotonicNs cold = 0;
  MonotonicNs warming = 0;
  std::uint32_t cpus = 2;
  std::optional<std::uint32_t> cpu = 0;
  int yields = 0;
};
Machine machine;

class CpuSharingTest : public ::testing::Test {
 protected:
  CpuSharingTest() { machine = Machine(); }

  static CpuCalls calls() {
    return {.now = [] { return machine.now; },
            .yield =
                [] {
                  ++machine.yields;
                  machine.now += machine.away + std::exchange(machine.warming, 0);
                },
            .cpu = [] { return machine.cpu; },
            .cpus = [] { return machine.cpus; }};
  }
  // Calls of `each` for so long; how often the CPU was given up.
  int yields_of(CpuSharing& sharing, MonotonicNs each, MonotonicNs time) {
    const int before = machine.yields;
    for (const MonotonicNs end = machine.now + time; machine.now < end;) {
      if (sharing.due(machine.now)) sharing.between_calls(machine.now);
      machine.now += each;
      machine.warming = machine.cold;
      sharing.note_call(each, machine.now);
    }
    return machine.yields - before;
  }
  // One that has been in a crowd, which goes on.
  CpuSharing crowded_one() {
    CpuSharing sharing(Part::kClient, calls());
    machine.away = 50'000;
    (void)yields_of(sharing, 1'000, kSecond / 100);
    EXPECT_TRUE(sharing.crowded());
    EXPECT_TRUE(sharing.takes_part());
    return sharing;
  }
  void set_part(Part part) {
    while (CpuSharing::part_of(*machine.cpu, machine.now) != part) machine.now += 1000;
  }
};

TEST_F(CpuSharingTest, OfOneThatIsAloneAsksEverMoreSeldom) {
  CpuSharing sharing(Part::kClient, calls());
  EXPECT_LE(yields_of(sharing, 1'000, kSecond / 10), 12);
  EXPECT_LE(yields_of(sharing, 1'000, kSecond), 11);
  EXPECT_FALSE(sharing.crowded());
}

TEST_F(CpuSharingTest, OfACrowdTakesShortTurns) {
  CpuSharing sharing(Part::kClient, calls());
  machine.away = 300'000;
  machine.cpus = 1;
  EXPECT_NEAR(yields_of(sharing, 1'000, kSecond / 100), 25, 2) << "100 us each, 300 us away";
  EXPECT_TRUE(sharing.crowded());
}

TEST_F(CpuSharingTest, OfAWorkerTakesLongerTurnsThanClients) {
  CpuSharing sharing(Part::kWorker, calls());
  machine.away = 100'000;
  machine.cpus = 1;
  EXPECT_NEAR(yields_of(sharing, 1'000, kSecond / 100), 20, 2);
}

TEST_F(CpuSharingTest, WithAProcessThatTakesNoTurnsIsEven) {
  CpuSharing sharing(Part::kClient, calls());
  machine.away = 4'000'000;
  EXPECT_NEAR(yields_of(sharing, 1'000, kSecond / 10), 100 / 8, 2);
  EXPECT_FALSE(sharing.crowded()) << "no part is to be waited for";
}

TEST_F(CpuSharingTest, IsCrowdedNoMoreWhenNobodyRanForAWhile) {
  CpuSharing sharing = crowded_one();
  machine.away = 400;
  (void)yields_of(sharing, 1'000, kSecond / 100);
  EXPECT_FALSE(sharing.crowded());
}

TEST_F(CpuSharingTest, OfLongCallsOffersItsCpuSeldomAndLetsNobodyGoFirst) {
  CpuSharing sharing(Part::kClient, calls());
  machine.away = 20'000;
  (void)yields_of(sharing, 100'000, kSecond / 100);
  EXPECT_NEAR(yields_of(sharing, 100'000, kSecond / 10), 20, 2) << "every 5 ms";
  EXPECT_TRUE(sharing.crowded());
  EXPECT_FALSE(sharing.takes_part());
}

TEST_F(CpuSharingTest, OfOneThatIsAloneWithColdCachesIsNotCrowded) {
  CpuSharing sharing(Part::kWorker, calls());
  machine.cold = 3'000;
  for (int i = 0; i < 100; ++i) {
    EXPECT_LE(yields_of(sharing, 100'000, kSecond / 100), i == 0 ? 8 : 4);
    ASSERT_FALSE(sharing.crowded());
  }
  machine.away = 3'000;
  (void)yields_of(sharing, 100'000, kSecond);
  EXPECT_TRUE(sharing.crowded()) << "somebody runs each time";
}

TEST_F(CpuSharingTest, OfOneWithColdCachesAfterSomeOfItsCallsLeavesACrowd) {
  CpuSharing sharing = crowded_one();
  machine.away = 400;
  machine.cold = 3'000;
  for (int i = 0; i < 1'000; ++i) {
    (void)yields_of(sharing, 150'000, 1);
    machine.cold = 0;
    (void)yields_of(sharing, 1'000, 1);
    machine.cold = 3'000;
  }
  EXPECT_FALSE(sharing.crowded());
}

TEST_F(CpuSharingTest, ForgetsACrowdThatItTakesNoPartIn) {
  CpuSharing sharing = crowded_one();
  sharing.take_no_part();
  EXPECT_FALSE(sharing.crowded());
  (void)yields_of(sharing, 1'000, kSecond / 1000);
  EXPECT_TRUE(sharing.crowded()) << "found again";
}

TEST_F(CpuSharingTest, KeepsItsPartWhenOneShortCallWaitedForItsTurn) {
  CpuSharing sharing = crowded_one();
  sharing.note_call(700'000, machine.now);
  EXPECT_TRUE(sharing.takes_part());
  sharing.note_call(700'000, machine.now);
  EXPECT_FALSE(sharing.takes_part());
}

TEST_F(CpuSharingTest, OfAThreadThatIsBoundToOneCpuHasNoPart) {
  CpuSharing sharing(Part::kClient, calls());
  machine.away = 20'000;
  machine.cpus = 1;
  (void)yields_of(sharing, 1'000, kSecond / 1000);
  EXPECT_TRUE(sharing.crowded());
  EXPECT_FALSE(sharing.takes_part());
}

TEST_F(CpuSharingTest, LooksAgainSoonAfterACallThatTookLong) {
  CpuSharing sharing(Part::kClient, calls());
  (void)yields_of(sharing, 1'000, kSecond);
  sharing.note_call(CpuSharing::kLongCallNs + 1, machine.now);
  EXPECT_FALSE(sharing.due(machine.now));
  const int before = machine.yields;
  machine.now += CpuSharing::kClientTurnNs;
  ASSERT_TRUE(sharing.due(machine.now));
  sharing.between_calls(machine.now);
  EXPECT_GT(machine.yields, before);
}

class CrowdedTest : public CpuSharingTest {
 protected:
  // Crowded, at the beginning of a turn.
  CrowdedTest() {
    machine.away = 20'000;
    sharing_.between_calls(machine.now);
    machine.yields = 0;
  }
  CpuSharing sharing_{Part::kClient, calls()};
};

TEST_F(CrowdedTest, OneWhosePartTheCpuHasGoesOn) {
  set_part(Part::kClient);
  sharing_.between_calls(machine.now);
  EXPECT_LE(machine.yields, 1) << "at most for the end of its turn";
}

TEST_F(CrowdedTest, OneWhosePartItHasNotLetsOthersGoFirstAFewTimes) {
  set_part(Part::kWorker);
  machine.away = 2'000;  // fewer than the beat takes
  sharing_.between_calls(machine.now);
  EXPECT_GE(machine.yields, 8);
  EXPECT_LE(machine.yields, 9);
}

TEST_F(CrowdedTest, OneThatMetAWholeSliceLetsNobodyGoFirstAgain) {
  machine.away = 10'000'000;
  set_part(Part::kWorker);
  sharing_.between_calls(machine.now);
  EXPECT_LE(machine.yields, 2);
}

TEST_F(CrowdedTest, OneWhomNobodyWantsToGoFirstGoesOn) {
  set_part(Part::kWorker);
  machine.away = 400;
  sharing_.between_calls(machine.now);
  EXPECT_LE(machine.yields, 2);
}

TEST_F(CrowdedTest, PartsAreNotWaitedForWhereTheCpuIsNotKnown) {
  machine.cpu.reset();
  sharing_.between_calls(machine.now);
  EXPECT_LE(machine.yields, 1);
}

TEST(CpuParts, AlternateByTheClockAndFromOneCpuToTheNext) {
  for (MonotonicNs beat = 0; beat < 4; ++beat) {
    const MonotonicNs now = beat * CpuSharing::kBeatNs;
    EXPECT_NE(CpuSharing::part_of(0, now), CpuSharing::part_of(1, now));
    EXPECT_NE(CpuSharing::part_of(0, now), CpuSharing::part_of(0, now + CpuSharing::kBeatNs));
  }
}

}  // namespace
}  // namespace slotring::shm
