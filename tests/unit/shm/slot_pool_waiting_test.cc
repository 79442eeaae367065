// Claims that find no free slot: waiting, and the errors that end it.

#include <atomic>
#include <optional>
#include <stop_token>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "client_lib/shm/slot_pool.h"
#include "tests/support/effort.h"
#include "tests/support/local_pool.h"

namespace slotring::shm {
namespace {

using layout::SeatState;
using testing::effort;
using testing::eventually;
using testing::LocalPool;
using testing::soon;

class FullPool : public ::testing::Test {
 protected:
  FullPool() {
    local_.publish_all();
    while (auto claim = pool().try_claim(1)) held_.push_back(*claim);
  }

  Result<Claim> claim(MonotonicNs deadline) const { return pool().claim(2, kNoSlot, deadline); }
  ErrorCode claim_error(MonotonicNs deadline) const {
    const Result<Claim> claimed = claim(deadline);
    return claimed ? ErrorCode::kOk : claimed.error().code;
  }
  void release_one() {
    EXPECT_TRUE(pool().try_release(held_.back().slot, held_.back().word, Actor::kClient));
    held_.pop_back();
  }
  bool await_waiting(std::uint32_t waiting) const {
    return eventually([&] { return pool().line().count_waiting() == waiting; });
  }
  // Whoever rings the audit bell is in its place in the line and has looked at every word.
  bool await_asleep(std::uint32_t waiting) const {
    auto& bell = local_.segment().header().audit_bell;
    return await_waiting(waiting) && eventually([&] { return bell.exchange(0) == 1; });
  }
  const SlotPool& pool() const { return local_.pool(); }

  LocalPool local_;
  std::vector<Claim> held_;
};

TEST_F(FullPool, LetsAClaimWaitUntilASlotIsReleased) {
  std::thread caller([&] { EXPECT_TRUE(claim(kNever).ok()); });
  EXPECT_TRUE(await_waiting(1));
  release_one();
  caller.join();
  EXPECT_EQ(pool().line().count_waiting(), 0u);
}

TEST_F(FullPool, EndsAClaimAtItsDeadline) {
  const MonotonicNs deadline = soon(5);
  EXPECT_EQ(claim_error(deadline), ErrorCode::kDeadlineExceeded);
  EXPECT_GE(monotonic_now(), deadline);
  EXPECT_EQ(pool().line().count_waiting(), 0u);
}

TEST_F(FullPool, TellsThatALateClaimMayBeTriedAgain) {
  EXPECT_TRUE(claim(soon(1)).error().retryable);
}

TEST_F(FullPool, EndsAClaimThatIsCancelledAndKeepsTheOthersInLine) {
  std::stop_source stop;
  std::thread cancelled([&] {
    EXPECT_EQ(pool().claim(2, kNoSlot, kNever, stop.get_token()).error().code,
              ErrorCode::kCancelled);
  });
  ASSERT_TRUE(await_asleep(1));
  std::thread other([&] { EXPECT_TRUE(claim(kNever).ok()); });
  ASSERT_TRUE(await_asleep(2));
  stop.request_stop();
  cancelled.join();
  EXPECT_EQ(pool().line().count_waiting(), 1u);
  release_one();
  other.join();
}

TEST_F(FullPool, PassesAWakeOnThatMeetsACancelledWaiter) {
  std::stop_source stop;
  const WaiterIndex waiter = pool().line().try_register(2).value();
  std::thread other([&] { EXPECT_TRUE(claim(kNever).ok()); });
  ASSERT_TRUE(await_asleep(2));
  stop.request_stop();
  EXPECT_FALSE(pool().line().sleep(waiter, kNever, stop.get_token()));
  release_one();  // wakes the first in line, who is about to leave
  EXPECT_EQ(pool().line().count_waiting(), 1u);
  pool().line().leave(waiter);
  other.join();
}

TEST_F(FullPool, ServesItsWaitersInTheOrderOfArrival) {
  std::vector<std::atomic<bool>> served(3);
  std::vector<std::thread> callers;
  for (std::uint32_t i = 0; i < served.size(); ++i) {
    callers.emplace_back([&, i] { served[i] = claim(kNever).ok(); });
    ASSERT_TRUE(await_asleep(i + 1));
  }
  for (std::uint32_t i = 0; i < served.size(); ++i) {
    release_one();
    ASSERT_TRUE(eventually([&] { return served[i].load(); }));
    EXPECT_TRUE(i + 1 == served.size() || !served[i + 1]);
  }
  for (std::thread& caller : callers) caller.join();
}

TEST_F(FullPool, IsSaturatedWhenItsLineIsFull) {
  for (std::uint32_t i = 0; i < local_.segment().geometry().max_waiters; ++i) {
    ASSERT_TRUE(pool().line().try_register(3).has_value());
  }
  const Result<Claim> refused = claim(kNever);
  EXPECT_EQ(refused.error().code, ErrorCode::kPoolSaturated);
  EXPECT_TRUE(refused.error().retryable);
}

TEST_F(FullPool, TakesClaimsAgainAfterManyTimedOutWithoutAnyRelease) {
  for (int i = 0; i < 100; ++i) ASSERT_EQ(claim_error(1), ErrorCode::kDeadlineExceeded);
  std::thread caller([&] { EXPECT_TRUE(claim(kNever).ok()); });
  EXPECT_TRUE(await_waiting(1));
  release_one();
  caller.join();
}

TEST_F(FullPool, DoesNotLetAClaimOvertakeThoseWhoWait) {
  ASSERT_TRUE(pool().line().try_register(3).has_value());
  local_.set_word(0, {9, layout::kNoOwner, SlotState::kFree, 0});
  EXPECT_FALSE(pool().try_claim(2).has_value());
}

TEST_F(FullPool, ServesAWaiterWhenAWorkerBecomesReady) {
  local_.set_seat(0, SeatState::kLost);
  release_one();
  std::thread caller([&] { EXPECT_TRUE(claim(kNever).ok()); });
  EXPECT_TRUE(await_waiting(1));
  local_.publish(0, 2);
  caller.join();
}

TEST_F(FullPool, WaitsForAWorkerThatIsOnItsWay) {
  for (const SeatState state : {SeatState::kStarting, SeatState::kLost, SeatState::kDormant}) {
    local_.set_seat(0, state);
    EXPECT_EQ(claim_error(soon(2)), ErrorCode::kDeadlineExceeded) << to_string(state);
  }
}

TEST_F(FullPool, RefusesAtOnceWhenNoWorkerWillCome) {
  for (const SeatState state : {SeatState::kVacant, SeatState::kRetired}) {
    local_.set_seat(0, state);
    EXPECT_EQ(claim_error(kNever), ErrorCode::kWorkerUnavailable) << to_string(state);
  }
}

TEST_F(FullPool, RefusesAtOnceWhenItIsDraining) {
  local_.set_seat(0, SeatState::kDraining);
  EXPECT_EQ(claim_error(kNever), ErrorCode::kPoolDraining);
}

// The one worker of a pool that is sent away for being idle: the pool goes on.
TEST_F(FullPool, WaitsForAWorkerThatIsToReturn) {
  local_.segment().seat(0).word.store(
      layout::SeatWord{1, SeatState::kDraining, /*returns=*/true}.pack());
  EXPECT_EQ(claim_error(soon(2)), ErrorCode::kDeadlineExceeded);
}

TEST_F(FullPool, EndsAWaitersWaitWhenItsLastWorkerRetires) {
  std::thread caller([&] { EXPECT_EQ(claim_error(kNever), ErrorCode::kWorkerUnavailable); });
  EXPECT_TRUE(await_waiting(1));
  local_.set_seat(0, SeatState::kRetired);
  pool().line().wake_all();
  caller.join();
}

// More callers than slots and places, for a while: each claim has one outcome, a slot has one
// owner, and nobody is forgotten.
TEST_F(FullPool, HasOneOwnerASlotAmongManyThreadsThatWait) {
  while (!held_.empty()) release_one();
  std::vector<std::atomic<int>> owners(local_.segment().geometry().slots());
  std::vector<std::thread> callers;
  std::atomic<int> claims{0};
  for (std::uint16_t owner = 0; owner < 7; ++owner) {
    callers.emplace_back([&, owner] {
      SlotIndex last = kNoSlot;
      for (int i = 0; i < effort(4000); ++i) {
        const Result<Claim> claimed = pool().claim(owner, last, kNever);
        if (!claimed) {
          EXPECT_EQ(claimed.error().code, ErrorCode::kPoolSaturated);
          continue;
        }
        const Claim& mine = *claimed;
        ++claims;
        EXPECT_EQ(owners[mine.slot].fetch_add(1), 0);
        if (i % 16 == 0) std::this_thread::yield();
        owners[mine.slot].fetch_sub(1);
        EXPECT_TRUE(pool().try_release(mine.slot, mine.word, Actor::kClient));
        last = mine.slot;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_GT(claims.load(), 0);
  EXPECT_EQ(local_.segment().busy_slots(0), 0u);
  EXPECT_EQ(pool().line().count_waiting(), 0u);
}

}  // namespace
}  // namespace slotring::shm
