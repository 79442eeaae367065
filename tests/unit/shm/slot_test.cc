#include "client_lib/shm/slot.h"

#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/effort.h"

namespace slotring::shm {
namespace {

using layout::kFlagCallerSleeps;
using layout::kFlagListed;
using layout::kFlagLost;
using layout::kNoOwner;
using layout::kSlotStates;

constexpr SlotState state_of(int index) { return static_cast<SlotState>(index); }

class Slot : public ::testing::Test {
 protected:
  void set(const SlotWord& word) { word_.store(word.pack()); }
  SlotWord now() const { return load_slot(word_); }

  std::atomic<std::uint64_t> word_{SlotWord{}.pack()};
};

TEST_F(Slot, IsClaimedByWhoNamesIt) {
  const MoveResult claimed = try_claim_slot(word_, now(), 5, true);
  EXPECT_TRUE(claimed.moved);
  EXPECT_EQ(claimed.after, now());
  EXPECT_EQ(now(), (SlotWord{0, 5, SlotState::kClaimed, 0}));
}

TEST_F(Slot, KeepsListedWhenItsHintStaysInTheRing) {
  set({4, kNoOwner, SlotState::kFree, kFlagListed});
  EXPECT_TRUE(try_claim_slot(word_, now(), 5, /*clear_listed=*/false).moved);
  EXPECT_EQ(now().flags, kFlagListed);
}

TEST_F(Slot, LosesListedWhenItsHintWasTaken) {
  set({4, kNoOwner, SlotState::kFree, kFlagListed});
  EXPECT_TRUE(try_claim_slot(word_, now(), 5, /*clear_listed=*/true).moved);
  EXPECT_EQ(now().flags, 0);
}

TEST_F(Slot, MovesAlongEveryArrowAndKeepsItsCallAndFlags) {
  for (const layout::Arrow& arrow : layout::kArrows) {
    if (arrow.from == SlotState::kFree || arrow.to == SlotState::kFree) continue;
    const SlotWord held{9, 2, arrow.from, kFlagListed | kFlagCallerSleeps};
    const auto actor = static_cast<Actor>(arrow.actors & -arrow.actors);
    set(held);
    ASSERT_TRUE(try_move(word_, held, arrow.to, actor).moved) << arrow.meaning;
    EXPECT_EQ(now(), (SlotWord{9, 2, arrow.to, held.flags})) << arrow.meaning;
  }
}

TEST_F(Slot, GainsTheFlagsOfItsMove) {
  set({9, 2, SlotState::kRunning, kFlagListed});
  EXPECT_TRUE(try_move(word_, now(), SlotState::kReplied, Actor::kReaper, kFlagLost).moved);
  EXPECT_EQ(now().flags, kFlagListed | kFlagLost);
}

TEST_F(Slot, MovesThoughItsFlagsWereAnotherGuess) {
  set({9, 2, SlotState::kRunning, kFlagCallerSleeps});
  const SlotWord guess{9, 2, SlotState::kRunning, kFlagListed};
  const MoveResult moved = try_move(word_, guess, SlotState::kReplied, Actor::kWorker);
  EXPECT_TRUE(moved.moved);
  EXPECT_EQ(moved.before.flags, kFlagCallerSleeps);
  EXPECT_EQ(now().flags, kFlagCallerSleeps) << "the guess adds nothing";
}

TEST_F(Slot, GrowsItsGenerationOnEveryWayToFree) {
  for (const layout::Arrow& arrow : layout::kArrows) {
    if (arrow.to != SlotState::kFree) continue;
    const SlotWord held{41, 2, arrow.from, kFlagCallerSleeps | kFlagLost};
    set(held);
    const auto actor = static_cast<Actor>(arrow.actors & -arrow.actors);
    ASSERT_TRUE(try_free(word_, held, actor).moved);
    EXPECT_EQ(now(), (SlotWord{42, kNoOwner, SlotState::kFree, kFlagListed})) << arrow.meaning;
  }
}

TEST_F(Slot, WrapsItsGeneration) {
  set({0xFFFFFFFF, 2, SlotState::kReplied, 0});
  EXPECT_TRUE(try_free(word_, now(), Actor::kClient).moved);
  EXPECT_EQ(now().generation, 0u);
}

TEST_F(Slot, DoesNotMoveFromAnotherStateThanTheHeldOne) {
  for (const layout::Arrow& arrow : layout::kArrows) {
    for (int actual = 0; actual < kSlotStates; ++actual) {
      if (state_of(actual) == arrow.from) continue;
      const SlotWord word{9, 2, state_of(actual), kFlagListed};
      set(word);
      const MoveResult moved =
          try_replace(word_, {9, 2, arrow.from, kFlagListed}, {9, 2, arrow.to, 0}, 0);
      EXPECT_FALSE(moved.moved);
      EXPECT_EQ(moved.before, word);
      EXPECT_EQ(now(), word) << arrow.meaning;
    }
  }
}

TEST_F(Slot, DoesNotMoveForAnOlderGeneration) {
  const SlotWord word{10, 2, SlotState::kRunning, 0};
  set(word);
  const SlotWord stale{9, 2, SlotState::kRunning, 0};
  EXPECT_FALSE(try_move(word_, stale, SlotState::kReplied, Actor::kWorker).moved);
  EXPECT_EQ(now(), word);
}

TEST_F(Slot, DoesNotMoveForAnotherOwner) {
  const SlotWord word{9, 3, SlotState::kReplied, 0};
  set(word);
  EXPECT_FALSE(try_free(word_, {9, 2, SlotState::kReplied, 0}, Actor::kClient).moved);
  EXPECT_EQ(now(), word);
}

TEST_F(Slot, ChangesFlagsOfExactlyTheSeenWordOnly) {
  SlotWord seen{9, 3, SlotState::kRunning, 0};
  set({9, 3, SlotState::kReplied, 0});
  EXPECT_FALSE(try_set_flags(word_, seen, kFlagCallerSleeps));
  EXPECT_EQ(seen.state, SlotState::kReplied) << "tells what the word is";
  EXPECT_TRUE(try_set_flags(word_, seen, kFlagCallerSleeps));
  EXPECT_EQ(now(), seen);
}

TEST_F(Slot, IsWonByOneOfManyClaimers) {
  constexpr int kClaimers = 3;
  for (int round = 0; round < testing::effort(400); ++round) {
    const SlotWord free{static_cast<std::uint32_t>(round), kNoOwner, SlotState::kFree, 0};
    set(free);
    std::atomic<int> winners{0};
    std::vector<std::thread> claimers;
    for (std::uint16_t owner = 0; owner < kClaimers; ++owner) {
      claimers.emplace_back([&, owner] {
        if (try_claim_slot(word_, free, owner, true).moved) ++winners;
      });
    }
    for (std::thread& claimer : claimers) claimer.join();
    ASSERT_EQ(winners.load(), 1);
  }
}

#ifndef NDEBUG
TEST(SlotDeathTest, MovesAlongNoArrowOfAnotherActor) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  std::atomic<std::uint64_t> word{SlotWord{1, 2, SlotState::kRequested, 0}.pack()};
  const SlotWord held = load_slot(word);
  EXPECT_DEATH((void)try_move(word, held, SlotState::kRunning, Actor::kClient), "is_legal");
}
#endif

}  // namespace
}  // namespace slotring::shm
