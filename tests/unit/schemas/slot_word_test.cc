#include "schemas/slot_word.h"

#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "tests/support/random_source.h"

namespace slotring::layout {
namespace {

constexpr SlotState kStates[] = {SlotState::kFree,    SlotState::kClaimed, SlotState::kRequested,
                                 SlotState::kRunning, SlotState::kReplied, SlotState::kAbandoned};
constexpr Actor kActors[] = {Actor::kClient, Actor::kWorker, Actor::kReaper};

// Who may take a slot from the row's state to the column's, as the design says:
// c(lient), w(orker), r(eaper). Columns in the order of kStates.
constexpr std::string_view kWhoMay[kSlotStates][kSlotStates] = {
    {"", "c", "", "", "", ""},     // free
    {"cr", "", "c", "", "", ""},   // claimed
    {"r", "c", "", "w", "r", ""},  // requested
    {"", "", "", "", "wr", "cr"},  // running
    {"cr", "", "", "", "", ""},    // replied
    {"wr", "", "", "", "", ""},    // abandoned
};

constexpr char letter(Actor actor) {
  return actor == Actor::kClient ? 'c' : actor == Actor::kWorker ? 'w' : 'r';
}

TEST(SlotWord, SurvivesPackingAndUnpacking) {
  testing::RandomSource random;
  for (int i = 0; i < 10'000; ++i) {
    const std::uint64_t packed = random.word();
    ASSERT_EQ(SlotWord::unpack(packed).pack(), packed);
  }
}

TEST(SlotWord, HasItsFieldsWhereTheDrawingShowsThem) {
  const SlotWord word{0x01234567, 0x89AB, SlotState::kReplied, 0x0D};
  EXPECT_EQ(word.pack(), 0x01234567'89AB'04'0Du);
}

TEST(SlotWord, OfANewSlotIsFreeAndOwnedByNobody) {
  const SlotWord word{};
  EXPECT_EQ(word.state, SlotState::kFree);
  EXPECT_EQ(word.owner, kNoOwner);
  EXPECT_EQ(word.flags, 0);
}

TEST(SlotWord, IsOneStepWhateverItsFlags) {
  const SlotWord word{7, 3, SlotState::kRunning, 0};
  SlotWord other = word;
  other.flags = 0xFF;
  EXPECT_TRUE(word.same_step(other));
  EXPECT_NE(word, other);
}

TEST(SlotWord, IsAnotherStepWithAnotherGenerationOwnerOrState) {
  const SlotWord word{7, 3, SlotState::kRunning, 0};
  EXPECT_FALSE(word.same_step({8, 3, SlotState::kRunning, 0}));
  EXPECT_FALSE(word.same_step({7, 4, SlotState::kRunning, 0}));
  EXPECT_FALSE(word.same_step({7, 3, SlotState::kReplied, 0}));
}

TEST(SlotWord, FlagsDoNotOverlap) {
  const int flags[] = {kFlagListed, kFlagCallerSleeps, kFlagLost, kFlagNeverStarted, kObituaryMask};
  int seen = 0;
  for (const int flag : flags) {
    EXPECT_EQ(seen & flag, 0);
    seen |= flag;
  }
  EXPECT_EQ(kObituaryMask >> kObituaryShift, 3) << "names one of four obituaries";
}

TEST(Arrows, AreTheDocumentedOnesForEachActorAndNoOthers) {
  for (const SlotState from : kStates) {
    for (const SlotState to : kStates) {
      const std::string_view who = kWhoMay[static_cast<int>(from)][static_cast<int>(to)];
      for (const Actor actor : kActors) {
        EXPECT_EQ(is_legal(from, to, actor), who.find(letter(actor)) != std::string_view::npos)
            << to_string(from) << " -> " << to_string(to) << " by " << letter(actor);
      }
    }
  }
}

TEST(Arrows, LeadOutOfEveryStateAndIntoEveryState) {
  for (const SlotState state : kStates) {
    bool left = false, reached = false;
    for (const Arrow& arrow : kArrows) {
      left = left || arrow.from == state;
      reached = reached || arrow.to == state;
    }
    EXPECT_TRUE(left && reached) << to_string(state);
  }
}

TEST(Arrows, LetTheReaperEndEveryStateThatADeathCanLeave) {
  // From a dead client's states; RUNNING ends by way of ABANDONED, which a worker or its death
  // ends.
  for (const SlotState held :
       {SlotState::kClaimed, SlotState::kRequested, SlotState::kReplied, SlotState::kAbandoned}) {
    EXPECT_TRUE(is_legal(held, SlotState::kFree, Actor::kReaper)) << to_string(held);
  }
  EXPECT_TRUE(is_legal(SlotState::kRunning, SlotState::kAbandoned, Actor::kReaper));
}

TEST(SlotState, HasANameEvenWhenCorrupt) {
  EXPECT_STREQ(to_string(SlotState::kFree), "free");
  EXPECT_STREQ(to_string(SlotState::kAbandoned), "abandoned");
  EXPECT_STREQ(to_string(static_cast<SlotState>(200)), "corrupt");
}

}  // namespace
}  // namespace slotring::layout
