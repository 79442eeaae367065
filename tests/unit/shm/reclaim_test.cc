#include "client_lib/shm/reclaim.h"

#include <signal.h>

#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/effort.h"
#include "tests/support/local_pool.h"

namespace slotring::shm {
namespace {

using layout::kFlagCallerSleeps;
using layout::kFlagListed;
using layout::kFlagLost;
using layout::kFlagNeverStarted;
using layout::kNoOwner;
using layout::SeatState;
using testing::eventually;
using testing::LocalPool;

constexpr std::uint16_t kDead = 3;
constexpr std::uint16_t kLiving = 4;
constexpr SlotState kHeldStates[] = {SlotState::kClaimed, SlotState::kRequested,
                                     SlotState::kRunning, SlotState::kReplied,
                                     SlotState::kAbandoned};

// A pool of one worker, whose slots hold what a test says.
class Reclaim : public ::testing::Test {
 protected:
  Reclaim() { local_.publish_all(); }

  static SlotWord held(SlotState state, std::uint16_t owner = kDead) {
    return {10, owner, state, 0};
  }
  static SlotWord freed() { return {11, kNoOwner, SlotState::kFree, kFlagListed}; }

  std::vector<SlotWord> words() const {
    std::vector<SlotWord> words;
    for (SlotIndex slot = 0; slot < 4; ++slot) words.push_back(local_.word(slot));
    return words;
  }
  void lose_worker(bool retired = false, std::uint32_t generation = 1) const {
    local_.set_seat(0, retired ? SeatState::kRetired : SeatState::kLost, generation);
    write_obituary(local_.segment(), 0, generation, 4242, SIGKILL, "last words");
    reclaim_worker(pool(), 0, generation, retired);
  }
  std::uint32_t claimable() const {
    std::uint32_t count = 0;
    while (pool().try_claim(0)) ++count;
    return count;
  }
  const SlotPool& pool() const { return local_.pool(); }

  LocalPool local_;
};

// A dead client.

TEST_F(Reclaim, FreesWhatADeadClientHeldAndNoWorkerRuns) {
  for (const SlotState state : {SlotState::kClaimed, SlotState::kRequested, SlotState::kReplied}) {
    local_.set_word(1, held(state));
    EXPECT_EQ(reclaim_client(pool(), kDead), 1u);
    EXPECT_EQ(local_.word(1), freed()) << to_string(state);
  }
}

TEST_F(Reclaim, AbandonsWhatAWorkerRunsForADeadClient) {
  local_.set_word(1, held(SlotState::kRunning));
  EXPECT_EQ(reclaim_client(pool(), kDead), 1u);
  EXPECT_EQ(local_.word(1), held(SlotState::kAbandoned)) << "quarantined until the worker lets go";
}

// Its client may have taken the flag of a worker that waits, and have died before it woke it.
TEST_F(Reclaim, RingsTheWorkerOfADeadClientsCallWhateverTheFlagsSay) {
  const std::atomic<std::uint32_t>& bell = local_.segment().seat(0).bell;
  for (const SlotState state : {SlotState::kRunning, SlotState::kAbandoned}) {
    local_.set_word(1, held(state));
    local_.segment().seat(0).bell.store(0);
    EXPECT_EQ(reclaim_client(pool(), kDead), 1u);
    EXPECT_EQ(bell.load(), 1u << 1) << to_string(state);
  }
}

TEST_F(Reclaim, LeavesAnAbandonedSlotToItsWorker) {
  local_.set_word(1, held(SlotState::kAbandoned));
  reclaim_client(pool(), kDead);
  EXPECT_EQ(local_.word(1), held(SlotState::kAbandoned));
}

TEST_F(Reclaim, TouchesNoSlotOfALivingClient) {
  for (const SlotState state : kHeldStates) {
    local_.set_word(1, held(state, kLiving));
    EXPECT_EQ(reclaim_client(pool(), kDead), 0u);
    EXPECT_EQ(local_.word(1), held(state, kLiving)) << to_string(state);
  }
}

TEST_F(Reclaim, EndsADeadClientsWaitingAndPassesItsWakeOn) {
  const WaitingLine& line = pool().line();
  ASSERT_TRUE(line.try_register(kDead) && line.try_register(kLiving) && line.wake_one());
  reclaim_client(pool(), kDead);
  EXPECT_EQ(line.count_waiting(), 0u) << "the living one is awake";
  EXPECT_EQ(layout::WaiterWord::unpack(local_.segment().waiter_word(1).load()).state,
            layout::WaiterState::kWoken);
}

TEST_F(Reclaim, WakesACallerThatWaitsForADeadClientsSlot) {
  for (SlotIndex slot = 0; slot < 4; ++slot) local_.set_word(slot, held(SlotState::kClaimed));
  std::thread caller([&] { EXPECT_TRUE(pool().claim(kLiving, kNoSlot, kNever).ok()); });
  EXPECT_TRUE(eventually([&] { return pool().line().count_waiting() == 1; }));
  reclaim_client(pool(), kDead);
  caller.join();
}

// A dead worker.

TEST_F(Reclaim, EndsARunningCallAsLost) {
  local_.set_word(1, held(SlotState::kRunning));
  lose_worker();
  EXPECT_EQ(local_.state(1), SlotState::kReplied);
  EXPECT_EQ(local_.word(1).flags, kFlagLost | 1 << layout::kObituaryShift);
}

TEST_F(Reclaim, RingsTheOwnersOfWhatADeadWorkerRanOrReplied) {
  for (const SlotState state : {SlotState::kRunning, SlotState::kReplied}) {
    local_.set_word(1, {10, kLiving, state, layout::kFlagRingOwner});
    lose_worker();
    EXPECT_EQ(local_.segment().client(kLiving).bell.exchange(0), 1u << 1) << to_string(state);
    EXPECT_EQ(local_.segment().client(kDead).bell.load(), 0u);
  }
}

TEST_F(Reclaim, PassesOverAnOwnerToBeRungThatIsNoClient) {
  local_.set_word(1, {10, 0xFFF0, SlotState::kRunning, layout::kFlagRingOwner});
  lose_worker();
  EXPECT_EQ(local_.state(1), SlotState::kReplied);
}

TEST_F(Reclaim, RingsAgainForAWaiterWhoseWakerDied) {
  const WaitingLine& line = pool().line();
  ASSERT_TRUE(line.try_register(kLiving, WaitingLine::Wake::kBell).has_value());
  ASSERT_TRUE(line.wake_one());
  local_.segment().client(kLiving).bell.store(0);
  audit_waiters(pool());
  EXPECT_NE(local_.segment().client(kLiving).bell.load(), 0u);
}

TEST_F(Reclaim, NamesTheObituaryOfTheWorkersGeneration) {
  for (std::uint32_t generation = 1; generation < 9; ++generation) {
    local_.set_word(1, held(SlotState::kRunning));
    lose_worker(false, generation);
    const int named = (local_.word(1).flags & layout::kObituaryMask) >> layout::kObituaryShift;
    const auto& obituary = local_.segment().obituary(0, static_cast<std::uint32_t>(named));
    EXPECT_EQ(obituary.generation.load(), generation);
  }
}

TEST_F(Reclaim, LeavesARequestToTheSuccessor) {
  local_.set_word(1, held(SlotState::kRequested));
  lose_worker();
  EXPECT_EQ(local_.word(1), held(SlotState::kRequested));
}

TEST_F(Reclaim, EndsARequestAsNeverStartedWhenNoSuccessorComes) {
  local_.set_word(1, held(SlotState::kRequested));
  lose_worker(/*retired=*/true);
  EXPECT_EQ(local_.state(1), SlotState::kReplied);
  EXPECT_TRUE(local_.word(1).has(kFlagLost) && local_.word(1).has(kFlagNeverStarted));
}

TEST_F(Reclaim, FreesWhatADeadWorkerHeldForNobody) {
  local_.set_word(1, held(SlotState::kAbandoned));
  lose_worker();
  EXPECT_EQ(local_.word(1), freed());
}

TEST_F(Reclaim, LeavesToClientsWhatIsTheirs) {
  for (const SlotState state : {SlotState::kClaimed, SlotState::kReplied}) {
    local_.set_word(1, held(state, kLiving));
    lose_worker();
    EXPECT_EQ(local_.word(1), held(state, kLiving)) << to_string(state);
  }
}

TEST_F(Reclaim, TouchesNoSlotOfAnotherWorker) {
  const LocalPool two(testing::small_geometry(2));
  for (const SlotState state : kHeldStates) {
    two.set_word(6, held(state));
    reclaim_worker(two.pool(), 0, 1, true);
    EXPECT_EQ(two.word(6), held(state)) << to_string(state);
  }
}

TEST_F(Reclaim, KeepsTheCallersSleepFlagAndWakesIt) {
  const SlotWord asleep{10, kLiving, SlotState::kRunning, kFlagCallerSleeps};
  local_.set_word(1, asleep);
  std::thread caller([&] {
    while (local_.state(1) == SlotState::kRunning) {
      futex_wait(futex_half(pool().word(1)), static_cast<std::uint32_t>(asleep.pack()), kNever);
    }
  });
  lose_worker();
  caller.join();
  EXPECT_TRUE(local_.word(1).has(kFlagCallerSleeps));
}

TEST_F(Reclaim, KeepsTheEndOfALongStderrInTheObituary) {
  write_obituary(local_.segment(), 0, 6, 4242, SIGSEGV, std::string(5000, 'x') + "end");
  const layout::Obituary& obituary = local_.segment().obituary(0, 2);
  EXPECT_EQ(obituary.tail_bytes.load(), sizeof(obituary.text));
  EXPECT_EQ(std::string(obituary.text + sizeof(obituary.text) - 3, 3), "end");
  EXPECT_EQ(obituary.pid.load(), 4242);
  EXPECT_EQ(obituary.wait_status.load(), SIGSEGV);
}

TEST_F(Reclaim, KeepsTheNoteAndTheEndOfALongStderrInTheObituary) {
  write_obituary(local_.segment(), 0, 6, 4242, SIGKILL, std::string(5000, 'x') + "end", "a note");
  const layout::Obituary& obituary = local_.segment().obituary(0, 2);
  EXPECT_EQ(obituary.note_bytes.load(), 6);
  EXPECT_EQ(obituary.tail_bytes.load(), sizeof(obituary.text) - 6);
  EXPECT_EQ(std::string(obituary.text, 7), "a notex");
  EXPECT_EQ(std::string(obituary.text + sizeof(obituary.text) - 3, 3), "end");
  write_obituary(local_.segment(), 0, 6, 4242, SIGKILL, "end", std::string(5000, 'n'));
  EXPECT_EQ(obituary.note_bytes.load(), sizeof(obituary.text) / 2);
  EXPECT_EQ(obituary.tail_bytes.load(), 3);
}

// Both, in either order, once or twice: the same end.

TEST_F(Reclaim, FreesTheSlotsOfADeadClientAndItsDeadWorkerInEitherOrder) {
  for (const bool client_first : {true, false}) {
    for (const SlotState state : kHeldStates) {
      local_.set_word(1, held(state));
      if (client_first) reclaim_client(pool(), kDead);
      lose_worker();
      if (!client_first) reclaim_client(pool(), kDead);
      EXPECT_TRUE(local_.word(1).same_step(freed())) << to_string(state) << client_first;
    }
  }
}

TEST_F(Reclaim, ChangesNothingWhenItIsRepeated) {
  local_.set_word(0, held(SlotState::kClaimed));
  local_.set_word(1, held(SlotState::kRunning));
  local_.set_word(2, held(SlotState::kReplied));
  local_.set_word(3, held(SlotState::kRunning, kLiving));
  reclaim_client(pool(), kDead);
  const std::vector<SlotWord> after_client = words();
  reclaim_client(pool(), kDead);
  EXPECT_EQ(words(), after_client);
  lose_worker();
  const std::vector<SlotWord> after_both = words();
  lose_worker();
  reclaim_client(pool(), kDead);
  EXPECT_EQ(words(), after_both);
}

// Hints and waiters after a death.

TEST_F(Reclaim, ListsFreeSlotsWhoseHintsWereLost) {
  while (local_.segment().free_ring(0).try_pop() || local_.segment().free_ring(1).try_pop()) {
  }
  EXPECT_LT(claimable(), 4u);
  for (SlotIndex slot = 0; slot < 4; ++slot) {
    local_.set_word(slot, {10, kNoOwner, SlotState::kFree, kFlagListed});
  }
  audit_hints(pool());
  EXPECT_EQ(claimable(), 4u);
}

TEST_F(Reclaim, ListsAgainAfterADeadClientWhatItTookTheHintOf) {
  ASSERT_TRUE(local_.segment().free_ring(0).try_pop().has_value()) << "and died before the claim";
  reclaim_client(pool(), kDead);
  EXPECT_EQ(claimable(), 4u);
}

TEST_F(Reclaim, ListsAgainAfterADeadWorkerWhatItFreedAndDidNotPush) {
  const LocalPool two(testing::small_geometry(2));
  two.publish_all();
  while (two.pool().try_claim(kLiving)) {
  }
  two.set_word(6, freed());
  two.set_seat(0, SeatState::kLost);
  reclaim_worker(two.pool(), 0, 1, /*retired=*/false);
  EXPECT_EQ(two.pool().try_claim(kLiving)->slot, 6u);
}

TEST_F(Reclaim, ClearsListedOfASlotThatHasNoHint) {
  while (pool().try_claim(kLiving)) {
  }
  for (const SlotState state : kHeldStates) {
    const SlotWord lying{10, kLiving, state, kFlagListed};
    local_.set_word(2, lying);
    audit_hints(pool());
    EXPECT_EQ(local_.word(2), held(state, kLiving)) << to_string(state);
  }
}

TEST_F(Reclaim, LeavesListedOfASlotThatHasAHint) {
  const SlotWord claimed_last{10, kLiving, SlotState::kClaimed, kFlagListed};
  local_.set_word(2, claimed_last);
  audit_hints(pool());
  EXPECT_EQ(local_.word(2), claimed_last);
}

TEST_F(Reclaim, AddsNoHintWhereThereIsOne) {
  audit_hints(pool());
  audit_hints(pool());
  EXPECT_EQ(claimable(), 4u);
  std::uint32_t left = 0;
  for (std::uint32_t depth = 0; depth < local_.segment().free_ring_count(); ++depth) {
    local_.segment().free_ring(depth).for_each([&](std::uint32_t) { ++left; });
  }
  EXPECT_EQ(left, 0u);
}

TEST_F(Reclaim, WakesWaitersWhenTheirWakeWasLostAndASlotIsFree) {
  ASSERT_TRUE(pool().line().try_register(kLiving).has_value());
  local_.segment().waiting_line().format();
  audit_waiters(pool());
  EXPECT_EQ(pool().line().count_waiting(), 0u);
}

TEST_F(Reclaim, LetsWaitersSleepWhileNoSlotIsFree) {
  while (pool().try_claim(kLiving)) {
  }
  ASSERT_TRUE(pool().line().try_register(kLiving).has_value());
  audit_waiters(pool());
  EXPECT_EQ(pool().line().count_waiting(), 1u);
  local_.set_word(0, freed());
  local_.set_seat(0, SeatState::kLost);
  audit_waiters(pool());
  EXPECT_EQ(pool().line().count_waiting(), 1u) << "a lost worker's slot is of no use";
}

}  // namespace
}  // namespace slotring::shm
