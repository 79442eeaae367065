// Claims of a slot of one seat and no other.

#include <atomic>
#include <future>
#include <memory>
#include <optional>
#include <stop_token>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "client_lib/shm/reclaim.h"
#include "client_lib/shm/slot_pool.h"
#include "tests/support/effort.h"
#include "tests/support/local_pool.h"

namespace slotring::shm {
namespace {

using layout::SeatState;
using testing::LocalPool;
using testing::small_geometry;
using testing::soon;

constexpr std::uint32_t kSlots = 2;
constexpr std::uint16_t kMe = 1;
constexpr std::uint16_t kOther = 2;
constexpr std::uint64_t kLongMs = 60'000;

class ClaimOnSeat : public ::testing::Test {
 protected:
  ClaimOnSeat() { local_.publish_all(); }

  const SlotPool& pool() const { return local_.pool(); }
  std::vector<Claim> claim_all_of(SeatIndex seat) const {
    std::vector<Claim> claims;
    while (auto claim = pool().try_claim_on(kOther, seat)) claims.push_back(*claim);
    EXPECT_EQ(claims.size(), kSlots);
    return claims;
  }
  void release(const Claim& claim) const {
    EXPECT_TRUE(pool().try_release(claim.slot, claim.word, Actor::kClient));
  }
  SeatIndex seat_of(const Claim& claim) const { return local_.segment().seat_of(claim.slot); }
  ErrorCode error_on(SeatIndex seat, MonotonicNs deadline) const {
    const Result<Claim> claim = pool().claim_on(kMe, seat, deadline);
    return claim ? ErrorCode::kOk : claim.error().code;
  }
  std::uint32_t wanted(SeatIndex seat) const { return local_.segment().seat(seat).wanted.load(); }
  // A caller that has found no slot, and sleeps or is about to.
  struct Waiter {
    std::shared_ptr<std::atomic<int>> own_looks;  // without a wake
    std::future<Result<Claim>> claim;
  };
  Waiter wait_on(SeatIndex seat, std::stop_token stop = {}) const {
    auto looks = std::make_shared<std::atomic<int>>(0);
    auto claim = std::async(std::launch::async, [this, seat, stop = std::move(stop), looks] {
      return pool().claim_on(kMe, seat, soon(kLongMs), stop, [&] { return ++*looks, Done{}; });
    });
    while ((wanted(seat) & layout::kSeatWanted) == 0) std::this_thread::yield();
    return {std::move(looks), std::move(claim)};
  }
  // Whether a caller that waits for the seat while all its slots are taken is woken by `act`, and
  // does not have to find out by itself: in one of a few tries, since this thread may be slow.
  template <class Act, class Check>
  bool wakes(Act act, Check check, std::stop_token stop = {}) {
    for (int i = 0; i < 5; ++i) {
      const std::vector<Claim> taken = claim_all_of(0);
      Waiter waiter = wait_on(0, stop);
      act(taken[0]);
      const Result<Claim> claim = waiter.claim.get();
      check(claim, taken[0]);
      if (*waiter.own_looks == 0) return true;
      if (claim) release(*claim);
      release(taken[1]);
      local_.publish_all();
    }
    return false;
  }
  static void expect_the_slot(const Result<Claim>& claim, const Claim& freed) {
    ASSERT_TRUE(claim.ok()) << claim.error().to_string();
    EXPECT_EQ(claim->slot, freed.slot);
  }
  void free_and_die(const Claim& claim) const {
    EXPECT_TRUE(try_free(pool().word(claim.slot), claim.word, Actor::kClient).moved);
  }

  LocalPool local_{small_geometry(2, kSlots)};
};

TEST_F(ClaimOnSeat, TakesSlotsOfThatSeatUntilThereAreNone) {
  for (const Claim& claim : claim_all_of(1)) EXPECT_EQ(seat_of(claim), 1u);
  EXPECT_FALSE(pool().try_claim_on(kMe, 1).has_value());
  EXPECT_TRUE(pool().try_claim_on(kMe, 0).has_value());
}

TEST_F(ClaimOnSeat, ASlotTakenSoIsPassedOverByOrdinaryClaims) {
  const std::vector<Claim> taken = claim_all_of(0);
  for (std::uint32_t i = 0; i < kSlots; ++i) EXPECT_EQ(seat_of(*pool().try_claim(kMe)), 1u);
  EXPECT_FALSE(pool().try_claim(kMe).has_value());
  for (const Claim& claim : taken) release(claim);
  EXPECT_EQ(seat_of(*pool().try_claim(kMe)), 0u) << "and is found again when it is free";
}

TEST_F(ClaimOnSeat, IsWokenByWhoeverFreesASlotOfTheSeat) {
  EXPECT_TRUE(wakes([&](const Claim& taken) { release(taken); }, expect_the_slot));
}

TEST_F(ClaimOnSeat, ASlotOfAnotherSeatIsNotForIt) {
  const std::vector<Claim> taken = claim_all_of(0);
  const std::vector<Claim> others = claim_all_of(1);
  Waiter waiter = wait_on(0);
  for (const Claim& claim : others) release(claim);
  release(taken[0]);
  EXPECT_EQ(seat_of(waiter.claim.get().value()), 0u);
}

TEST_F(ClaimOnSeat, AllThatWaitLookAgain) {
  const std::vector<Claim> taken = claim_all_of(0);
  Waiter first = wait_on(0);
  Waiter second = wait_on(0);
  release(taken[0]);
  release(taken[1]);
  EXPECT_NE(first.claim.get().value().slot, second.claim.get().value().slot);
}

TEST_F(ClaimOnSeat, EndsAtItsDeadline) {
  const std::vector<Claim> taken = claim_all_of(0);
  EXPECT_EQ(error_on(0, soon(1)), ErrorCode::kDeadlineExceeded);
  release(taken[0]);
  EXPECT_EQ(error_on(0, soon(1)), ErrorCode::kOk);
}

TEST_F(ClaimOnSeat, EndsAtOnceWhenItIsCancelled) {
  std::stop_source stop;
  const auto cancelled = [](const Result<Claim>& claim, const Claim&) {
    EXPECT_EQ(claim.error().code, ErrorCode::kCancelled);
  };
  const std::uint32_t wakes_before = wanted(0) / layout::kWantedStep;
  EXPECT_TRUE(wakes([&](const Claim&) { stop.request_stop(); }, cancelled, stop.get_token()));
  EXPECT_GT(wanted(0) / layout::kWantedStep, wakes_before);
  EXPECT_EQ(pool().claim_on(kMe, 0, kNever, stop.get_token()).error().code, ErrorCode::kCancelled);
}

TEST_F(ClaimOnSeat, WaitsForAWorkerThatStartsAndForASuccessor) {
  for (const SeatState state : {SeatState::kStarting, SeatState::kLost}) {
    local_.set_seat(0, state);
    EXPECT_EQ(error_on(0, soon(1)), ErrorCode::kDeadlineExceeded) << to_string(state);
    Waiter waiter = wait_on(0);
    local_.publish(0, 2);
    release(waiter.claim.get().value());
  }
}

TEST_F(ClaimOnSeat, SaysSoWhenNoWorkerIsDue) {
  for (const SeatState state :
       {SeatState::kVacant, SeatState::kRetired, SeatState::kDormant, SeatState::kDraining}) {
    local_.set_seat(0, state);
    const Result<Claim> claim = pool().claim_on(kMe, 0, kNever);
    ASSERT_FALSE(claim.ok());
    EXPECT_EQ(claim.error().code, ErrorCode::kWorkerUnavailable);
    EXPECT_TRUE(claim.error().retryable);
    EXPECT_NE(claim.error().message.find(to_string(state)), std::string::npos)
        << claim.error().message;
  }
}

TEST_F(ClaimOnSeat, SaysThatThePoolDrains) {
  for (SeatIndex seat = 0; seat < 2; ++seat) local_.set_seat(seat, SeatState::kDraining);
  EXPECT_EQ(error_on(0, kNever), ErrorCode::kPoolDraining);
}

TEST_F(ClaimOnSeat, IsToldWhenItsSeatIsRetiredMeanwhile) {
  const auto retire = [&](const Claim& taken) {
    local_.set_seat(0, SeatState::kRetired);
    pool().wake_wanting(0);
    release(taken);
  };
  EXPECT_TRUE(wakes(retire, [](const Result<Claim>& claim, const Claim&) {
    EXPECT_EQ(claim.error().code, ErrorCode::kWorkerUnavailable);
  }));
}

// Of one that dies before it looks who wants the slot.
TEST_F(ClaimOnSeat, TheAuditAfterADeathWakesThoseWhoseWakerDied) {
  const auto die = [&](const Claim& taken) {
    free_and_die(taken);
    audit_hints(pool());
  };
  EXPECT_TRUE(wakes(die, expect_the_slot));
}

TEST_F(ClaimOnSeat, AWakerThatDiedBeforeTheSystemCallIsMadeUpFor) {
  const auto die = [&](const Claim& taken) {
    local_.segment().seat(0).wanted.store(layout::kWantedStep);
    free_and_die(taken);
    audit_hints(pool());
  };
  EXPECT_TRUE(wakes(die, expect_the_slot));
}

TEST_F(ClaimOnSeat, FindsASlotByItselfWhenNobodyMakesUpForALostWake) {
  const std::vector<Claim> taken = claim_all_of(0);
  Waiter waiter = wait_on(0);
  free_and_die(taken[0]);
  expect_the_slot(waiter.claim.get(), taken[0]);
}

TEST_F(ClaimOnSeat, AsksWhetherItIsStillServed) {
  const std::vector<Claim> taken = claim_all_of(0);
  const auto gone = [] { return Status(Error{ErrorCode::kPoolNotFound, "gone"}); };
  EXPECT_EQ(pool().claim_on(kMe, 0, kNever, {}, gone).error().code, ErrorCode::kPoolNotFound);
}

TEST_F(ClaimOnSeat, NotesWhatItHolds) {
  OwnPlaces own(local_.segment().geometry().slots());
  const SlotPool pool(local_.segment(), &own);
  const Claim claim = *pool.try_claim_on(kMe, 0);
  EXPECT_TRUE(own.holds(claim.slot, claim.word.generation));
  EXPECT_EQ(pool.disown_strangers(kMe), 0u);
  EXPECT_EQ(local_.state(claim.slot), SlotState::kClaimed);
}

TEST_F(ClaimOnSeat, CallersThatOutnumberTheSlotsAllGetTheirTurns) {
  constexpr int kCallers = 6;
  const int turns = testing::effort(4'000);
  std::atomic<int> late{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < kCallers; ++i) {
    callers.emplace_back([&, owner = static_cast<std::uint16_t>(i)] {
      for (int turn = 0; turn < turns; ++turn) {
        const auto seat = static_cast<SeatIndex>(turn / 64 % 2);
        const Result<Claim> claim = pool().claim_on(owner, seat, soon(kLongMs));
        if (!claim || !pool().try_release(claim->slot, claim->word, Actor::kClient)) ++late;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(late.load(), 0);
  for (SeatIndex seat = 0; seat < 2; ++seat) {
    EXPECT_EQ(local_.segment().busy_slots(seat), 0u);
  }
}

}  // namespace
}  // namespace slotring::shm
