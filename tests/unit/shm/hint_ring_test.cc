#include "client_lib/shm/hint_ring.h"

#include <algorithm>
#include <deque>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/effort.h"
#include "tests/support/mortal_word.h"
#include "tests/support/random_source.h"
#include "tests/support/ring_memory.h"

namespace slotring::shm {
namespace {

using ::testing::ElementsAre;
using testing::Mortality;
using testing::PlainMemory;
using testing::RingMemory;
using ::testing::UnorderedElementsAre;

constexpr std::uint32_t kCells = PlainMemory::kCells;
constexpr std::uint32_t kValues = PlainMemory::kValues;
constexpr std::uint64_t kLastPosition = PlainMemory::kLastPosition;
constexpr auto kRelaxed = std::memory_order_relaxed;

// An empty ring whose next push goes to `position`.
template <class Memory>
void start_at(Memory& memory, std::uint64_t position) {
  memory.head.store(position, kRelaxed);
  memory.tail.store(position, kRelaxed);
  for (std::uint64_t i = 0; i < kCells; ++i) {
    const std::uint64_t p = (position + i) & kLastPosition;
    memory.cells[p % kCells].store(p << 17, kRelaxed);
  }
}

class PlainRing : public ::testing::Test {
 protected:
  bool push(std::uint32_t value) { return memory_.ring().try_push(value); }
  std::optional<std::uint32_t> pop() { return memory_.ring().try_pop(); }

  PlainMemory memory_;
};

TEST_F(PlainRing, IsEmptyAtFirst) {
  EXPECT_TRUE(memory_.ring().empty());
  EXPECT_EQ(pop(), std::nullopt);
}

TEST_F(PlainRing, GivesValuesInTheOrderOfTheirPushing) {
  EXPECT_TRUE(push(3) && push(1) && push(2));
  EXPECT_FALSE(memory_.ring().empty());
  EXPECT_THAT(memory_.pop_all(), ElementsAre(3, 1, 2));
  EXPECT_TRUE(memory_.ring().empty());
}

TEST_F(PlainRing, TakesAsManyAsItHasCellsAndNoMore) {
  for (std::uint32_t i = 0; i < kCells; ++i) ASSERT_TRUE(push(i));
  EXPECT_FALSE(push(99));
  EXPECT_EQ(pop(), 0u);
  EXPECT_TRUE(push(99));
  EXPECT_FALSE(push(98));
}

TEST_F(PlainRing, GoesRoundManyTimes) {
  for (std::uint32_t i = 0; i < 100 * kCells + 3; ++i) {
    ASSERT_TRUE(push(i % kValues));
    ASSERT_EQ(pop(), i % kValues);
    ASSERT_EQ(pop(), std::nullopt);
  }
}

TEST_F(PlainRing, GoesOnPastItsLastPosition) {
  start_at(memory_, kLastPosition - 3);
  std::deque<std::uint32_t> expected;
  for (std::uint32_t i = 0; i < 40; ++i) {
    ASSERT_TRUE(push(i));
    expected.push_back(i);
    if (i % 3 == 0) continue;
    ASSERT_EQ(pop(), expected.front());
    expected.pop_front();
    if (expected.size() == kCells - 1) memory_.pop_all(), expected.clear();
  }
}

TEST_F(PlainRing, ShowsWhatItHoldsWithoutTakingIt) {
  EXPECT_TRUE(push(7) && push(9));
  std::vector<std::uint32_t> shown;
  memory_.ring().for_each([&](std::uint32_t value) { shown.push_back(value); });
  EXPECT_THAT(shown, UnorderedElementsAre(7, 9));
  EXPECT_THAT(memory_.pop_all(), ElementsAre(7, 9));
}

TEST_F(PlainRing, PassesOverAValueThatIsOutOfBounds) {
  EXPECT_TRUE(push(1) && push(kValues) && push(0xFFFF) && push(2));
  memory_.ring().for_each([](std::uint32_t value) { EXPECT_LT(value, kValues); });
  EXPECT_THAT(memory_.pop_all(), ElementsAre(1, 2));
}

TEST_F(PlainRing, IsNotCalledEmptyWhileItsHeadLagsBehind) {
  EXPECT_TRUE(push(1));
  EXPECT_EQ(pop(), 1u);
  memory_.head.store(0, kRelaxed);
  EXPECT_TRUE(push(2));
  EXPECT_FALSE(memory_.ring().empty());
  EXPECT_EQ(pop(), 2u);
}

// Random words wherever a peer can write: whatever they are, each call ends and is within bounds.
TEST_F(PlainRing, BoundsWhatItReadsFromAScribbledRing) {
  testing::RandomSource random;
  const auto scribble = [&](std::uint64_t wild) -> std::uint64_t {
    // Near the truth is worse than noise: positions around the counters, with any flag and value.
    const std::uint64_t near = (random.below(4 * kCells) << 17) | (random.word() & 0x1FFFF);
    return random.one_in(2) ? near : wild;
  };
  for (int round = 0; round < testing::effort(10'000); ++round) {
    memory_.head.store(random.one_in(2) ? random.below(3 * kCells) : random.word(), kRelaxed);
    memory_.tail.store(random.one_in(2) ? random.below(3 * kCells) : random.word(), kRelaxed);
    for (auto& cell : memory_.cells) cell.store(scribble(random.word()), kRelaxed);
    for (int i = 0; i < 12; ++i) {
      (void)push(random.below(kValues));
      ASSERT_LT(pop().value_or(0), kValues);
      (void)memory_.ring().empty();
    }
    memory_.ring().for_each([](std::uint32_t value) { ASSERT_LT(value, kValues); });
  }
}

TEST_F(PlainRing, WorksAgainWhenItIsFormattedAfterScribbling) {
  for (auto& cell : memory_.cells) cell.store(~std::uint64_t{0}, kRelaxed);
  memory_.ring().format();
  EXPECT_TRUE(push(5));
  EXPECT_THAT(memory_.pop_all(), ElementsAre(5));
}

// A ring whose user dies at any of its operations on shared memory.
class MortalRing : public ::testing::Test {
 protected:
  // A ring that holds `held` values 1, 2, ...
  void fill(std::uint32_t held) {
    memory_.ring().format();
    for (std::uint32_t i = 1; i <= held; ++i) ASSERT_TRUE(memory_.ring().try_push(i));
  }
  bool push_survives(int fatal, std::uint32_t value) {
    return Mortality::survives(fatal, [&] { (void)memory_.ring().try_push(value); });
  }
  bool pop_survives(int fatal) {
    return Mortality::survives(fatal, [&] { (void)memory_.ring().try_pop(); });
  }

  RingMemory<testing::MortalWord> memory_;
};

TEST_F(MortalRing, HoldsAllOrNothingOfAPushThatDied) {
  for (std::uint32_t held = 0; held < kCells; ++held) {
    fill(held);
    for (int fatal = 0; !push_survives(fatal, 50); ++fatal) {
      std::vector<std::uint32_t> left = memory_.pop_all();
      if (left.size() == held + 1) {
        EXPECT_EQ(left.back(), 50u);
        left.pop_back();
      }
      ASSERT_EQ(left.size(), held);
      ASSERT_TRUE(std::is_sorted(left.begin(), left.end()));
      fill(held);
    }
  }
}

TEST_F(MortalRing, LosesAtMostTheValueOfAPopThatDied) {
  for (std::uint32_t held = 1; held <= kCells; ++held) {
    fill(held);
    for (int fatal = 0; !pop_survives(fatal); ++fatal) {
      const std::vector<std::uint32_t> left = memory_.pop_all();
      ASSERT_GE(left.size() + 1, held);
      if (!left.empty()) {
        ASSERT_EQ(left.back(), held) << "the newest stays";
      }
      fill(held);
    }
  }
}

TEST_F(MortalRing, IsPushedToAndPoppedFromAfterADeathInEither) {
  for (int fatal = 0; fatal < 8; ++fatal) {
    fill(3);
    (void)push_survives(fatal, 50);
    (void)pop_survives(fatal);
    ASSERT_TRUE(memory_.ring().try_push(60) && memory_.ring().try_push(61));
    const std::vector<std::uint32_t> left = memory_.pop_all();
    ASSERT_GE(left.size(), 4u);
    EXPECT_EQ(left[left.size() - 2], 60u);
    EXPECT_EQ(left.back(), 61u);
    EXPECT_TRUE(memory_.ring().empty());
  }
}

// Pushes and pops at random, of which each may die anywhere, against a queue in which a step has
// happened when its one compare-and-swap of a cell has.
TEST_F(MortalRing, IsAQueueThoughItsUsersDieAllTheTime) {
  testing::RandomSource random;
  std::deque<std::uint32_t> expected;
  for (int step = 0; step < testing::effort(50'000); ++step) {
    const int fatal = random.one_in(3) ? static_cast<int>(random.below(6)) : 1000;
    const std::uint32_t value = random.below(kValues);
    const auto count = [&] {
      std::size_t held = 0;
      memory_.ring().for_each([&](std::uint32_t) { ++held; });
      return held;
    };
    if (random.one_in(2)) {
      const bool room = expected.size() < kCells;
      const bool lived = push_survives(fatal, value);
      ASSERT_TRUE(count() > expected.size() || !lived || !room);
      if (count() > expected.size()) expected.push_back(value);
    } else {
      const bool any = !expected.empty();
      const bool lived = pop_survives(fatal);
      ASSERT_TRUE(count() < expected.size() || !lived || !any);
      if (count() < expected.size()) expected.pop_front();
    }
    ASSERT_EQ(count(), expected.size());
    if (random.one_in(50)) {
      ASSERT_THAT(memory_.pop_all(), ::testing::ElementsAreArray(expected));
      expected.clear();
    }
  }
}

}  // namespace
}  // namespace slotring::shm
