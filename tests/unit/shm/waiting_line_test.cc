#include "client_lib/shm/waiting_line.h"

#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client_lib/shm/doorbell.h"
#include "tests/support/effort.h"
#include "tests/support/local_pool.h"

namespace slotring::shm {
namespace {

using layout::WaiterState;
using layout::WaiterWord;
using testing::effort;
using testing::eventually;
using testing::LocalPool;
using testing::soon;

constexpr std::uint32_t kPlaces = 4;  // small_geometry's

class WaitingLineTest : public ::testing::Test {
 protected:
  WaiterIndex enter(std::uint16_t owner = 0) const {
    const std::optional<WaiterIndex> waiter = line().try_register(owner);
    EXPECT_TRUE(waiter.has_value());
    return waiter.value_or(0);
  }
  WaiterState state(WaiterIndex waiter) const {
    return WaiterWord::unpack(pool_.segment().waiter_word(waiter).load()).state;
  }
  bool woken(WaiterIndex waiter) const { return state(waiter) == WaiterState::kWoken; }
  const WaitingLine& line() const { return pool_.pool().line(); }

  LocalPool pool_;
};

TEST_F(WaitingLineTest, IsEmptyAtFirstAndWakesNobody) {
  EXPECT_TRUE(line().empty());
  EXPECT_FALSE(line().wake_one());
  EXPECT_EQ(line().count_waiting(), 0u);
}

TEST_F(WaitingLineTest, WakesInTheOrderOfArrivalAndOneAtATime) {
  const WaiterIndex first = enter(), second = enter(), third = enter();
  EXPECT_TRUE(line().wake_one());
  EXPECT_TRUE(woken(first) && !woken(second) && !woken(third));
  EXPECT_TRUE(line().wake_one());
  EXPECT_TRUE(woken(second) && !woken(third));
  EXPECT_TRUE(line().wake_one());
  EXPECT_TRUE(woken(third));
  EXPECT_FALSE(line().wake_one());
}

TEST_F(WaitingLineTest, TakesAsManyAsItHasPlacesAndNoMore) {
  for (std::uint32_t i = 0; i < kPlaces; ++i) enter();
  EXPECT_EQ(line().try_register(0), std::nullopt);
  EXPECT_EQ(line().count_waiting(), kPlaces);
}

TEST_F(WaitingLineTest, GivesAPlaceToTheNextWhenOneLeaves) {
  std::vector<WaiterIndex> waiters;
  for (std::uint32_t i = 0; i < kPlaces; ++i) waiters.push_back(enter());
  line().leave(waiters[2]);
  EXPECT_EQ(enter(), waiters[2]);
}

TEST_F(WaitingLineTest, PassesAnUnusedWakeOnToTheNext) {
  const WaiterIndex first = enter(), second = enter();
  EXPECT_TRUE(line().wake_one());
  line().leave(first);
  EXPECT_TRUE(woken(second));
}

TEST_F(WaitingLineTest, PassesNoWakeOnThatItDidNotGet) {
  const WaiterIndex first = enter(), second = enter();
  line().leave(first);
  EXPECT_FALSE(woken(second));
}

TEST_F(WaitingLineTest, PassesOverThoseWhoLeft) {
  const WaiterIndex first = enter(), second = enter();
  line().leave(first);
  EXPECT_TRUE(line().wake_one());
  EXPECT_TRUE(woken(second));
}

TEST_F(WaitingLineTest, IsNotFilledByThoseWhoTimedOutWithoutAnyRelease) {
  for (int i = 0; i < 1000; ++i) {
    const WaiterIndex waiter = enter();
    EXPECT_FALSE(line().sleep(waiter, 1));
    line().leave(waiter);
  }
  const WaiterIndex last = enter();
  EXPECT_TRUE(line().wake_one());
  EXPECT_TRUE(woken(last));
}

TEST_F(WaitingLineTest, StandsInLineAgainAfterAWakeThatBroughtNothing) {
  const WaiterIndex waiter = enter();
  EXPECT_TRUE(line().wake_one());
  EXPECT_TRUE(line().sleep(waiter, kNever)) << "acknowledged";
  EXPECT_EQ(state(waiter), WaiterState::kWaiting);
  EXPECT_TRUE(line().wake_one());
  EXPECT_TRUE(woken(waiter));
}

TEST_F(WaitingLineTest, SleepsUntilItsDeadline) {
  const WaiterIndex waiter = enter();
  const MonotonicNs deadline = soon(3);
  EXPECT_FALSE(line().sleep(waiter, deadline));
  EXPECT_GE(monotonic_now(), deadline);
}

TEST_F(WaitingLineTest, WakesASleeper) {
  const WaiterIndex waiter = enter();
  std::thread sleeper([&] { EXPECT_TRUE(line().sleep(waiter, kNever)); });
  EXPECT_TRUE(eventually([&] { return pool_.segment().header().audit_bell.load() == 1; }));
  EXPECT_TRUE(line().wake_one());
  sleeper.join();
}

TEST_F(WaitingLineTest, WakesAllAtOnce) {
  const WaiterIndex first = enter(), second = enter();
  line().wake_all();
  EXPECT_TRUE(woken(first) && woken(second));
}

TEST_F(WaitingLineTest, WakesAllWhoseEntryInTheLineWasLost) {
  const WaiterIndex waiter = enter();
  pool_.segment().waiting_line().format();  // as if a waker died with the index in its hands
  EXPECT_FALSE(line().wake_one());
  line().wake_all();
  EXPECT_TRUE(woken(waiter));
}

TEST_F(WaitingLineTest, EvictsADeadClientsWaitersOnly) {
  const WaiterIndex dead = enter(7), living = enter(8), dead_too = enter(7);
  line().evict(7);
  EXPECT_EQ(state(dead), WaiterState::kVacant);
  EXPECT_EQ(state(dead_too), WaiterState::kVacant);
  EXPECT_EQ(state(living), WaiterState::kWaiting);
  EXPECT_TRUE(line().wake_one());
  EXPECT_TRUE(woken(living));
}

TEST_F(WaitingLineTest, PassesTheWakeOfAnEvictedWaiterOn) {
  enter(7);
  const WaiterIndex living = enter(8);
  EXPECT_TRUE(line().wake_one());
  line().evict(7);
  EXPECT_TRUE(woken(living));
}

TEST_F(WaitingLineTest, HandsOutEachPlaceOnceAmongThreads) {
  std::vector<std::atomic<int>> holders(kPlaces);
  std::vector<std::thread> callers;
  for (std::uint16_t owner = 0; owner < 4; ++owner) {
    callers.emplace_back([&, owner] {
      for (int i = 0; i < effort(3000); ++i) {
        const auto waiter = line().try_register(owner);
        if (!waiter) continue;
        EXPECT_EQ(holders[*waiter].fetch_add(1), 0);
        (void)line().wake_one();
        holders[*waiter].fetch_sub(1);
        line().leave(*waiter);
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(line().count_waiting(), 0u);
}

// The supervisor's side.

TEST_F(WaitingLineTest, TellsTheAuditThatSomebodySleeps) {
  std::atomic<bool> stop{false};
  std::thread audit([&] { testing::await_sleepers(line(), stop); });
  const WaiterIndex waiter = enter();
  EXPECT_FALSE(line().sleep(waiter, soon(1)));
  audit.join();
}

TEST_F(WaitingLineTest, DoesNotLetTheAuditSleepWhileSomebodyWaits) {
  enter();
  testing::await_sleepers(line(), std::atomic<bool>{false});
}

TEST_F(WaitingLineTest, EndsTheAuditsSleepWhenAsked) {
  std::atomic<bool> stop{false};
  std::thread audit([&] { testing::await_sleepers(line(), stop); });
  stop.store(true);
  line().interrupt_audit();
  audit.join();
}

// Waiters that sleep one at a time and an audit that must notice each: a lost bell hangs.
TEST_F(WaitingLineTest, LosesNoBellBetweenSleepersAndTheAudit) {
  std::atomic<bool> stop{false};
  std::thread audit([&] {
    while (!stop.load()) {
      testing::await_sleepers(line(), stop);
      line().wake_all();
    }
  });
  for (int i = 0; i < effort(4000); ++i) {
    const WaiterIndex waiter = enter();
    EXPECT_TRUE(line().sleep(waiter, kNever));
    line().leave(waiter);
  }
  stop.store(true);
  line().interrupt_audit();
  audit.join();
}

// Each is a death that left the audit asleep for ever, found by tests/models.

TEST_F(WaitingLineTest, WakesTheAuditAlthoughAnEarlierRingerDiedBeforeItsSystemCall) {
  std::atomic<bool> stop{false};
  std::atomic<std::uint32_t>& bell = pool_.segment().header().audit_bell;
  std::thread audit([&] { testing::await_sleepers(line(), stop); });
  EXPECT_TRUE(
      eventually([&] { return bell.load() == Doorbell<std::atomic<std::uint32_t>>::kSleeps; }));
  bell.fetch_or(1);  // as ring_audit() before futex_wake()
  EXPECT_FALSE(line().sleep(enter(), soon(1)));
  audit.join();
}

TEST_F(WaitingLineTest, KeepsTheAuditAwakeForOneWhoseWakerDiedBeforeItsSystemCall) {
  const WaiterIndex waiter = enter();
  EXPECT_TRUE(line().wake_one());
  EXPECT_TRUE(woken(waiter));  // and perhaps asleep
  EXPECT_EQ(line().count_waiting(), 0u);
  testing::await_sleepers(line(), std::atomic<bool>{false});
  line().leave(waiter);
  EXPECT_FALSE(line().occupied());
}

TEST_F(WaitingLineTest, PutsAPlaceThatAWakerDiedWithBackIntoTheLine) {
  const WaiterIndex waiter = enter();
  ASSERT_EQ(pool_.segment().waiting_line().try_pop(), waiter);
  EXPECT_FALSE(line().wake_one());
  line().mend();
  EXPECT_TRUE(line().wake_one());
  EXPECT_TRUE(woken(waiter));
}

TEST_F(WaitingLineTest, MendsAVacantPlaceForWhoeverComesNext) {
  for (std::uint32_t i = 0; i < kPlaces; ++i) line().leave(enter());
  while (pool_.segment().waiting_line().try_pop()) {
  }
  line().mend();
  const WaiterIndex next = enter();
  EXPECT_TRUE(line().wake_one());
  EXPECT_TRUE(woken(next));
}

}  // namespace
}  // namespace slotring::shm
