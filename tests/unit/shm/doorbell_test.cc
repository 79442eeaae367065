#include "client_lib/shm/doorbell.h"

#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "client_lib/shm/futex.h"
#include "tests/support/effort.h"

namespace slotring::shm {
namespace {

using Bell = Doorbell<std::atomic<std::uint32_t>>;

class DoorbellTest : public ::testing::Test {
 protected:
  std::atomic<std::uint32_t> word_{0};
  Bell bell_{word_};
};

TEST_F(DoorbellTest, IsQuietAtFirst) {
  EXPECT_FALSE(bell_.rung());
  EXPECT_EQ(bell_.take(), 0u);
}

TEST_F(DoorbellTest, GivesAllBitsThatWereRungOnce) {
  EXPECT_FALSE(bell_.ring(Bell::bit_of(1)));
  EXPECT_FALSE(bell_.ring(Bell::bit_of(4)));
  EXPECT_EQ(bell_.look(), 0b10010u);
  EXPECT_EQ(bell_.take(), 0b10010u);
  EXPECT_EQ(bell_.take(), 0u);
}

TEST_F(DoorbellTest, SharesABitAmongSlotsThirtyApart) {
  EXPECT_EQ(Bell::bit_of(3), Bell::bit_of(33));
  EXPECT_EQ(Bell::bit_of(3), Bell::bit_of(123));
  for (std::uint32_t slot = 0; slot < 124; ++slot) {
    EXPECT_NE(Bell::bit_of(slot) & Bell::kPendingMask, 0u);
  }
}

TEST_F(DoorbellTest, AsksForAWakeOnlyWhileTheWorkerSleeps) {
  EXPECT_FALSE(bell_.ring(1));
  EXPECT_EQ(bell_.take(), 1u);
  EXPECT_TRUE(bell_.try_sleep());
  EXPECT_TRUE(bell_.ring(1));
}

TEST_F(DoorbellTest, RefusesSleepWhenItWasRung) {
  EXPECT_FALSE(bell_.ring(1));
  EXPECT_FALSE(bell_.try_sleep());
  EXPECT_EQ(bell_.take(), 1u);
}

TEST_F(DoorbellTest, StillAsksForAWakeAfterARingerDiedBeforeItWoke) {
  EXPECT_TRUE(bell_.try_sleep());
  EXPECT_TRUE(bell_.ring(1)) << "this one dies before it wakes the worker";
  EXPECT_TRUE(bell_.ring(2)) << "so the next must wake it";
}

TEST_F(DoorbellTest, MaySleepAgainAfterASpuriousWake) {
  EXPECT_TRUE(bell_.try_sleep());
  EXPECT_TRUE(bell_.try_sleep());
  EXPECT_FALSE(bell_.rung()) << "sleeping is no ring";
}

TEST_F(DoorbellTest, TellsAttentionFromRequests) {
  EXPECT_FALSE(bell_.ring(Bell::kAttention));
  EXPECT_TRUE(bell_.rung());
  EXPECT_EQ(bell_.take() & Bell::kPendingMask, 0u);
}

// Each ringer rings only when its last ring was answered: one lost wake and this hangs.
TEST_F(DoorbellTest, LosesNoRingOfManyRingers) {
  constexpr std::uint32_t kRingers = 3;
  const int rounds = testing::effort(4000);
  std::vector<std::atomic<int>> answered(kRingers);
  std::vector<std::thread> ringers;
  for (std::uint32_t i = 0; i < kRingers; ++i) {
    ringers.emplace_back([&, i] {
      for (int round = 0; round < rounds; ++round) {
        if (bell_.ring(Bell::bit_of(i))) futex_wake(futex_half(word_), 1);
        while (answered[i].load() == round) std::this_thread::yield();
      }
    });
  }
  for (int left = rounds * static_cast<int>(kRingers); left > 0;) {
    if (!bell_.rung() && bell_.try_sleep()) futex_wait(futex_half(word_), Bell::kSleeps, kNever);
    const std::uint32_t bits = bell_.take();
    for (std::uint32_t i = 0; i < kRingers; ++i) {
      if ((bits & Bell::bit_of(i)) != 0) ++answered[i], --left;
    }
  }
  for (std::thread& ringer : ringers) ringer.join();
}

}  // namespace
}  // namespace slotring::shm
