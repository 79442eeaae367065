#include "schemas/session_layout.h"

#include <gtest/gtest.h>

namespace slotring::layout {
namespace {

TEST(SessionWord, IsTheSameAfterPackingAndUnpacking) {
  const SessionWord words[] = {
      {},
      {1, kNoHome, SessionState::kActive, 0},
      {0xFFFFFFFF, 0xFFFF, SessionState::kEnded, 0xFF},
      {7, kCreatorIsSeat | 3, SessionState::kCreating, kFlagHasState},
  };
  for (const SessionWord& word : words) EXPECT_EQ(SessionWord::unpack(word.pack()), word);
}

TEST(SessionWord, OfFreshMemoryIsVacant) {
  EXPECT_EQ(SessionWord::unpack(0).state, SessionState::kVacant);
  EXPECT_EQ(SessionWord{}.pack(), 0u);
}

TEST(SessionWord, CountsLossesBesideTheState) {
  SessionWord word{3, 2, SessionState::kActive, kFlagHasState};
  EXPECT_TRUE(word.has_state());
  word.flags = static_cast<std::uint8_t>((word.flags & ~kFlagHasState) + kLossStep);
  EXPECT_FALSE(word.has_state());
  EXPECT_EQ(word.flags, kLossStep);
}

TEST(SessionLink, IsTheSameAfterPackingAndUnpacking) {
  const SessionLink links[] = {
      {}, {1, false, 1}, {0xFFFFFFFF, true, 0x7FFFFFFF}, {5, true, 0}, {5, false, kMaxSessions}};
  for (const SessionLink& link : links) EXPECT_EQ(SessionLink::unpack(link.pack()), link);
}

TEST(SessionLink, OfFreshMemoryIsTheEndOfAChain) {
  EXPECT_EQ(SessionLink{}.pack(), 0u);
  EXPECT_EQ(SessionLink::unpack(0).record_plus_1, 0u);
}

}  // namespace
}  // namespace slotring::layout
