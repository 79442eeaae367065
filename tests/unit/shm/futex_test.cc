#include "client_lib/shm/futex.h"

#include <sys/mman.h>

#include <memory>
#include <new>
#include <thread>

#include <gtest/gtest.h>

#include "tests/support/child_process.h"

namespace slotring::shm {
namespace {

using testing::ChildProcess;
using testing::eventually;

constexpr std::uint64_t kMillisecond = 1'000'000;

TEST(Futex, DoesNotSleepOnAWordThatChanged) {
  const std::atomic<std::uint32_t> word{5};
  futex_wait(futex_half(word), 4, kNever);
}

TEST(Futex, SleepsUntilItsDeadlineAndNotShorter) {
  const std::atomic<std::uint32_t> word{5};
  const MonotonicNs deadline = monotonic_now() + 5 * kMillisecond;
  while (monotonic_now() < deadline) futex_wait(futex_half(word), 5, deadline);
  EXPECT_GE(monotonic_now(), deadline);
}

TEST(Futex, ReturnsAtOnceWhenItsDeadlineHasPassed) {
  const std::atomic<std::uint32_t> word{5};
  futex_wait(futex_half(word), 5, monotonic_now() - kMillisecond);
  futex_wait(futex_half(word), 5, 1);
}

TEST(Futex, SleepsOnTheLowHalfOfALongWord) {
  const std::atomic<std::uint64_t> word{0x0000000A'0000000B};
  EXPECT_EQ(*futex_half(word), 0xBu);
}

TEST(Futex, WakesAnotherThread) {
  std::atomic<std::uint32_t> word{0};
  std::thread sleeper([&] {
    while (word.load() == 0) futex_wait(futex_half(word), 0, kNever);
  });
  word.store(1);
  futex_wake(futex_half(word), 1);
  sleeper.join();
}

TEST(Futex, WakesAnotherProcess) {
  void* page = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  auto* word = new (page) std::atomic<std::uint32_t>(0);
  ChildProcess sleeper([&] {
    while (word->load() == 0) futex_wait(futex_half(*word), 0, kNever);
    return true;
  });
  word->store(1);
  futex_wake(futex_half(*word), 1);
  EXPECT_TRUE(sleeper.succeeded());
  ::munmap(page, 4096);
}

TEST(CoarseClock, IsTheSameClockALittleBehind) {
  const MonotonicNs coarse = coarse_now();
  const MonotonicNs now = monotonic_now();
  EXPECT_LE(coarse, now);
  EXPECT_TRUE(eventually([&] { return coarse_now() > coarse; })) << "and it goes on";
}

}  // namespace
}  // namespace slotring::shm
