#include "client_lib/shm/slot_pool.h"

#include <algorithm>
#include <optional>
#include <set>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/effort.h"
#include "tests/support/local_pool.h"

namespace slotring::shm {
namespace {

using layout::kFlagListed;
using layout::SeatState;
using testing::LocalPool;
using testing::small_geometry;
using testing::soon;

constexpr std::uint32_t kSlots = 4;

class SlotPoolTest : public ::testing::Test {
 protected:
  explicit SlotPoolTest(std::uint32_t workers = 1) : local_(small_geometry(workers, kSlots)) {
    local_.publish_all();
  }

  Claim claim(SlotIndex last = kNoSlot) const {
    const std::optional<Claim> claim = pool().try_claim(1, last);
    EXPECT_TRUE(claim.has_value());
    return claim.value_or(Claim{kNoSlot, {}});
  }
  std::vector<Claim> claim_all() const {
    std::vector<Claim> claims;
    while (auto claim = pool().try_claim(1)) claims.push_back(*claim);
    return claims;
  }
  void release(const Claim& claim) const {
    EXPECT_TRUE(pool().try_release(claim.slot, claim.word, Actor::kClient));
  }
  SeatIndex seat(const Claim& claim) const { return local_.segment().seat_of(claim.slot); }
  std::uint32_t hints(SlotIndex slot) const {
    std::uint32_t found = 0;
    for (std::uint32_t depth = 0; depth < local_.segment().free_ring_count(); ++depth) {
      local_.segment().free_ring(depth).for_each([&](std::uint32_t s) { found += s == slot; });
    }
    return found;
  }
  bool listed(SlotIndex slot) const { return local_.word(slot).has(kFlagListed); }
  const SlotPool& pool() const { return local_.pool(); }

  LocalPool local_;
};

class TwoWorkerPool : public SlotPoolTest {
 protected:
  TwoWorkerPool() : SlotPoolTest(2) {}
};

class ThreeWorkerPool : public SlotPoolTest {
 protected:
  ThreeWorkerPool() : SlotPoolTest(3) {}
};

TEST_F(ThreeWorkerPool, GivesWhoSharesItsCpuAWorkerOnAnotherThatRanLast) {
  const auto run = [&](SeatIndex seat, std::uint32_t cpu, std::uint64_t since) {
    local_.segment().seat(seat).cpu.store(cpu + 1);
    local_.segment().seat(seat).running_since.store(since);
  };
  run(0, 7, 300);
  run(1, 4, 100);
  run(2, 5, 200);
  const auto beside = [&](SlotIndex last = kNoSlot) { return pool().try_claim_beside(1, last, 7); };
  const SlotIndex of_second = local_.segment().first_slot(1);
  const std::optional<Claim> last = beside(of_second);
  ASSERT_TRUE(last);
  EXPECT_EQ(last->slot, of_second) << "rather the last one";
  const std::optional<Claim> latest = beside(of_second);
  ASSERT_TRUE(latest) << "its worker is busy";
  EXPECT_EQ(seat(*latest), 2u);
  EXPECT_FALSE(beside()) << "only one on the own CPU is idle";
  release(*last);
  release(*latest);
  EXPECT_EQ(seat(beside(local_.segment().first_slot(0)).value()), 2u) << "the last one is on it";
}

TEST_F(SlotPoolTest, GivesASlotToItsClaimer) {
  const Claim mine = claim();
  EXPECT_EQ(local_.word(mine.slot), mine.word);
  EXPECT_EQ(mine.word.owner, 1);
  EXPECT_EQ(mine.word.state, SlotState::kClaimed);
}

TEST_F(SlotPoolTest, GivesEverySlotOnceAndThenNone) {
  std::set<SlotIndex> slots;
  for (const Claim& claim : claim_all()) slots.insert(claim.slot);
  EXPECT_EQ(slots.size(), kSlots);
  EXPECT_FALSE(pool().try_claim(1).has_value());
}

TEST_F(SlotPoolTest, GivesAReleasedSlotAgainWithTheNextGeneration) {
  const std::vector<Claim> claims = claim_all();
  release(claims[2]);
  const Claim again = claim();
  EXPECT_EQ(again.slot, claims[2].slot);
  EXPECT_EQ(again.word.generation, claims[2].word.generation + 1);
}

TEST_F(SlotPoolTest, DoesNotReleaseTwice) {
  const Claim mine = claim();
  release(mine);
  const SlotWord freed = local_.word(mine.slot);
  EXPECT_FALSE(pool().try_release(mine.slot, mine.word, Actor::kClient));
  EXPECT_EQ(local_.word(mine.slot), freed);
}

TEST_F(TwoWorkerPool, FindsAnIdleWorkerFirst) {
  const Claim first = claim(), second = claim();
  EXPECT_NE(seat(first), seat(second));
}

TEST_F(ThreeWorkerPool, SpreadsCallsByDepth) {
  std::vector<int> calls(3, 0);
  for (int call = 1; call <= 12; ++call) {
    ++calls[seat(claim())];
    EXPECT_LE(*std::max_element(calls.begin(), calls.end()), (call + 2) / 3) << call;
  }
}

TEST_F(ThreeWorkerPool, ReturnsToAWorkerThatBecameIdle) {
  std::vector<Claim> claims;
  for (int i = 0; i < 6; ++i) claims.push_back(claim());
  const SeatIndex idle = seat(claims[0]);
  for (const Claim& claim : claims) {
    if (seat(claim) == idle) release(claim);
  }
  EXPECT_EQ(seat(claim()), idle);
}

TEST_F(TwoWorkerPool, PrefersTheLastSlotOfAnIdleWorker) {
  const Claim first = claim();
  release(first);
  for (int i = 0; i < 5; ++i) {
    const Claim again = claim(first.slot);
    EXPECT_EQ(again.slot, first.slot);
    release(again);
  }
}

TEST_F(TwoWorkerPool, DoesNotPreferTheLastSlotOfABusyWorker) {
  const std::vector<Claim> claims = claim_all();
  std::optional<SlotIndex> last;
  for (const Claim& claim : claims) {
    // All of the other worker's, and one of the busy one's.
    const bool others = seat(claim) != seat(claims[0]);
    if (!others && (last || &claim == &claims[0])) continue;
    if (!others) last = claim.slot;
    release(claim);
  }
  EXPECT_NE(seat(claim(*last)), seat(claims[0]));
}

TEST_F(SlotPoolTest, TouchesNoRingForTheLastSlot) {
  const Claim first = claim();
  release(first);
  const std::uint32_t hints_before = hints(first.slot);
  release(claim(first.slot));
  EXPECT_EQ(hints(first.slot), hints_before);
  EXPECT_TRUE(listed(first.slot));
}

TEST_F(SlotPoolTest, PassesOverALastSlotThatIsTaken) {
  const Claim first = claim();
  EXPECT_NE(claim(first.slot).slot, first.slot);
}

TEST_F(TwoWorkerPool, GivesNoSlotOfAWorkerThatIsNotReady) {
  for (const SeatState state : {SeatState::kVacant, SeatState::kStarting, SeatState::kDraining,
                                SeatState::kLost, SeatState::kRetired}) {
    local_.set_seat(0, state);
    const std::vector<Claim> claims = claim_all();
    EXPECT_EQ(claims.size(), kSlots) << to_string(state);
    for (const Claim& claim : claims) {
      EXPECT_EQ(seat(claim), 1u) << to_string(state);
      release(claim);
    }
    EXPECT_EQ(pool().try_claim(1, /*last=*/0)->slot / kSlots, 1u);
    local_.publish_all();
    for (SlotIndex slot = kSlots; slot < 2 * kSlots; ++slot) {
      if (local_.state(slot) != SlotState::kFree) release({slot, local_.word(slot)});
    }
  }
}

TEST_F(TwoWorkerPool, GivesAWorkersSlotsAgainWhenItIsPublishedAgain) {
  local_.set_seat(0, SeatState::kLost);
  EXPECT_EQ(claim_all().size(), kSlots) << "and takes the other's hints out of the rings";
  local_.publish(0, /*generation=*/2);
  EXPECT_EQ(claim_all().size(), kSlots);
}

// Hints that are wrong.

TEST_F(SlotPoolTest, GivesASlotOnceThoughItIsHintedTwice) {
  pool().push_hint(0, 0);
  pool().push_hint(0, 1);
  EXPECT_EQ(claim_all().size(), kSlots);
}

TEST_F(SlotPoolTest, ClearsListedOfASlotWhoseHintWasStale) {
  const std::vector<Claim> claims = claim_all();
  const SlotIndex slot = claims[0].slot;
  local_.set_word(slot, {claims[0].word.generation, 1, SlotState::kRunning, kFlagListed});
  pool().push_hint(slot, 0);
  EXPECT_FALSE(pool().try_claim(2).has_value());
  EXPECT_FALSE(listed(slot)) << "so that its releaser lists it again";
  EXPECT_EQ(local_.state(slot), SlotState::kRunning);
}

TEST_F(SlotPoolTest, ListsAReleasedSlotOnce) {
  const std::vector<Claim> claims = claim_all();
  for (const Claim& claim : claims) {
    EXPECT_FALSE(listed(claim.slot));
    release(claim);
    EXPECT_TRUE(listed(claim.slot));
    EXPECT_EQ(hints(claim.slot), 1u);
  }
}

TEST_F(SlotPoolTest, LeavesASlotUnlistedWhenItsRingIsFull) {
  const Claim mine = claim();
  while (local_.segment().free_ring(0).try_push(3)) {
  }
  release(mine);
  EXPECT_FALSE(listed(mine.slot));
  EXPECT_EQ(local_.state(mine.slot), SlotState::kFree);
}

TEST_F(SlotPoolTest, FindsAFreeSlotThatNoHintNames) {
  const std::vector<Claim> claims = claim_all();
  local_.set_word(2, {9, layout::kNoOwner, SlotState::kFree, 0});
  EXPECT_FALSE(pool().try_claim(1).has_value());
  EXPECT_EQ(pool().claim(1, kNoSlot, soon(1000)).value().slot, 2u);
  EXPECT_EQ(pool().line().count_waiting(), 0u);
}

TEST_F(SlotPoolTest, DrainsRingsOfNothingButStaleHints) {
  (void)claim_all();
  for (SlotIndex slot = 0; slot < kSlots; ++slot) pool().push_hint(slot, slot);
  EXPECT_FALSE(pool().try_claim(1).has_value());
  for (SlotIndex slot = 0; slot < kSlots; ++slot) EXPECT_EQ(hints(slot), 0u);
}

}  // namespace
}  // namespace slotring::shm
