// A ring that was scribbled over: it is told from one that pushes and pops have led to, also while
// they go on, and made whole again under its users.

#include <array>
#include <set>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client_lib/shm/hint_ring.h"
#include "tests/support/effort.h"
#include "tests/support/mortal_word.h"
#include "tests/support/random_source.h"
#include "tests/support/ring_memory.h"

namespace slotring::shm {
namespace {

using testing::effort;
using testing::Mortality;
using testing::PlainMemory;
using testing::RandomSource;
using testing::RingMemory;

constexpr std::uint32_t kCells = PlainMemory::kCells;
constexpr std::uint32_t kValues = PlainMemory::kValues;
constexpr std::uint64_t kLastPosition = PlainMemory::kLastPosition;
constexpr auto kRelaxed = std::memory_order_relaxed;

// Whether as many values come out as go in, over several laps.
template <class Memory>
bool works(Memory& memory) {
  for (std::uint32_t lap = 0; lap < 3; ++lap) {
    for (std::uint32_t i = 0; i < kCells; ++i) {
      if (!memory.ring().try_push(i)) return false;
    }
    if (memory.ring().try_push(0)) return false;
    for (std::uint32_t i = 0; i < kCells; ++i) {
      if (memory.ring().try_pop() != i) return false;
    }
    if (memory.ring().try_pop()) return false;
  }
  return true;
}

TEST(RingRepair, PushesAndPopsLeaveASoundRing) {
  RandomSource random;
  PlainMemory memory;
  for (int step = 0; step < 20'000; ++step) {
    if (random.one_in(2)) {
      (void)memory.ring().try_push(random.below(kValues));
    } else {
      (void)memory.ring().try_pop();
    }
    ASSERT_TRUE(memory.ring().is_sound()) << step;
  }
}

TEST(RingRepair, ADeathInAPushOrAPopLeavesASoundRing) {
  for (std::uint32_t values = 0; values <= kCells; ++values) {
    for (int fatal = 0; fatal < 8; ++fatal) {
      RingMemory<testing::MortalWord> memory;
      for (std::uint32_t i = 0; i < values; ++i) (void)memory.ring().try_push(i);
      Mortality::survives(fatal, [&] { (void)memory.ring().try_pop(); });
      EXPECT_TRUE(memory.ring().is_sound()) << values << " values, pop dead at " << fatal;
      Mortality::survives(fatal, [&] { (void)memory.ring().try_push(1); });
      EXPECT_TRUE(memory.ring().is_sound()) << values << " values, push dead at " << fatal;
    }
  }
}

TEST(RingRepair, AWrappedRingIsSound) {
  PlainMemory memory;
  memory.ring().renew(kLastPosition);
  for (std::uint32_t i = 0; i < 4 * kCells; ++i) {
    EXPECT_TRUE(memory.ring().is_sound()) << i;
    EXPECT_TRUE(memory.ring().try_push(i));
    EXPECT_TRUE(memory.ring().is_sound()) << i;
    EXPECT_EQ(memory.ring().try_pop(), i);
  }
}

TEST(RingRepair, LooksSoundWhileOthersUseIt) {
  PlainMemory memory;
  std::atomic<bool> stop{false};
  std::vector<std::thread> users;
  for (std::uint32_t user = 0; user < 3; ++user) {
    users.emplace_back([&, user] {
      RandomSource random(user);
      while (!stop.load()) {
        if (random.one_in(2)) {
          (void)memory.ring().try_push(random.below(kValues));
        } else {
          (void)memory.ring().try_pop();
        }
      }
    });
  }
  for (int look = 0; look < effort(50'000); ++look) {
    const bool sound = memory.ring().is_sound();
    EXPECT_TRUE(sound) << look;
    if (!sound) break;
  }
  stop.store(true);
  for (std::thread& user : users) user.join();
}

// What is scribbled is either found and mended, or does no harm to the ring's working.
TEST(RingRepair, AScribbledRingIsFoundOrWorks) {
  RandomSource random;
  int found = 0;
  for (int round = 0; round < effort(20'000); ++round) {
    PlainMemory memory;
    for (std::uint32_t i = random.below(3 * kCells); i > 0; --i) {
      if (random.one_in(3)) (void)memory.ring().try_pop();
      (void)memory.ring().try_push(i);
    }
    for (std::uint32_t scribbles = 1 + random.below(3); scribbles > 0; --scribbles) {
      auto& word = memory.word(random.below(PlainMemory::kWords));
      const std::uint64_t old = word.load();
      const std::uint64_t scribbles_of[] = {random.word(), 0, ~std::uint64_t{0},
                                            old ^ std::uint64_t{1} << random.below(64),
                                            old + 1 + random.below(20)};
      word.store(scribbles_of[random.below(5)]);
    }
    // A soundness that pops bring to light counts: repair looks again.
    for (std::uint32_t look = 0; look < 2; ++look) {
      if (!memory.ring().is_sound()) {
        memory.ring().renew(random.word());
        ++found;
        ASSERT_TRUE(memory.ring().is_sound());
      }
      (void)memory.pop_all();
    }
    ASSERT_TRUE(!memory.ring().is_sound() || works(memory)) << "round " << round;
  }
  EXPECT_GT(found, effort(10'000)) << "most scribbles are found";
}

TEST(RingRepair, ARenewalThatWasKilledIsSeenAndRepeated) {
  for (int fatal = 0;; ++fatal) {
    RingMemory<testing::MortalWord> memory;
    memory.tail.store(77'777, kRelaxed);
    ASSERT_FALSE(memory.ring().is_sound());
    const bool survived =
        Mortality::survives(fatal, [&] { memory.ring().renew(std::uint64_t{1} << 40); });
    if (survived) {
      EXPECT_TRUE(works(memory));
      break;
    }
    if (!memory.ring().is_sound()) memory.ring().renew(std::uint64_t{1} << 41);
    EXPECT_TRUE(works(memory)) << "killed at " << fatal;
  }
}

// So a compare-and-swap by a peer that looked before a renewal fails after it.
TEST(RingRepair, ARenewalGivesEachCellAWordThatItNeverHad) {
  RandomSource random;
  PlainMemory memory;
  std::array<std::set<std::uint64_t>, kCells> had;
  const auto note_words = [&] {
    for (std::uint32_t i = 0; i < kCells; ++i) had[i].insert(memory.cells[i].load());
  };
  for (int round = 0; round < 500; ++round) {
    for (std::uint32_t step = random.below(2 * kCells); step > 0; --step) {
      note_words();
      (void)memory.ring().try_push(step);
      note_words();
      if (random.one_in(2)) (void)memory.ring().try_pop();
    }
    note_words();
    memory.ring().renew(random.word());
    for (std::uint32_t i = 0; i < kCells; ++i) {
      EXPECT_EQ(had[i].count(memory.cells[i].load()), 0u) << "round " << round;
    }
  }
}

TEST(RingRepair, ARenewalThatIsToStartWhereTheRingIsStartsElsewhere) {
  PlainMemory memory;
  for (int round = 0; round < 100; ++round) {
    (void)memory.ring().try_push(1);
    std::array<std::uint64_t, kCells> before;
    for (std::uint32_t i = 0; i < kCells; ++i) before[i] = memory.cells[i].load();
    memory.ring().renew(memory.head.load());
    for (std::uint32_t i = 0; i < kCells; ++i) EXPECT_NE(memory.cells[i].load(), before[i]);
  }
}

// Users go on while the ring is renewed again and again. They lose hints, and nothing else: nothing
// comes out more often than it was pushed, and the ring is whole at the end.
TEST(RingRepair, IsRenewedUnderItsUsers) {
  PlainMemory memory;
  std::atomic<bool> stop{false};
  std::array<std::atomic<std::int64_t>, kValues> inside{};
  std::vector<std::thread> users;
  for (std::uint32_t user = 0; user < 3; ++user) {
    users.emplace_back([&, user] {
      RandomSource random(user);
      while (!stop.load()) {
        const std::uint32_t value = random.below(kValues);
        ++inside[value];
        if (!memory.ring().try_push(value)) --inside[value];
        if (const auto got = memory.ring().try_pop()) --inside[*got];
      }
    });
  }
  RandomSource random(99);
  for (int round = 0; round < effort(5'000); ++round) memory.ring().renew(random.word());
  stop.store(true);
  for (std::thread& user : users) user.join();
  for (const auto& count : inside) EXPECT_GE(count.load(), 0) << "it came out twice";
  (void)memory.pop_all();
  EXPECT_TRUE(memory.ring().is_sound());
  EXPECT_TRUE(works(memory));
}

}  // namespace
}  // namespace slotring::shm
