// The ring with many users at once: threads, processes, and processes that are killed.

#include <sys/mman.h>

#include <array>
#include <memory>
#include <new>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "client_lib/shm/hint_ring.h"
#include "tests/support/child_process.h"
#include "tests/support/random_source.h"

namespace slotring::shm {
namespace {

using testing::ChildProcess;
using testing::effort;
using testing::eventually;

constexpr std::uint32_t kCells = 64;
constexpr std::uint32_t kTokens = 48;
constexpr int kUsers = 4;

using Word = std::atomic<std::uint64_t>;

// A ring of tokens in memory that children share. Whoever holds a token counts it, so that a token
// that is in two hands is seen.
struct SharedRing {
  HintRing<Word> ring() { return {&head, &tail, cells.data(), kCells, kTokens}; }

  Word head{}, tail{};
  std::array<Word, kCells> cells{};
  std::array<std::atomic<int>, kTokens> hands{};
  std::atomic<std::uint64_t> doubles{0};
  std::atomic<std::uint64_t> steps{0};
};

class ContendedRing : public ::testing::Test {
 protected:
  ContendedRing()
      : memory_(::mmap(nullptr, sizeof(SharedRing), PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS, -1, 0)),
        shared_(new (memory_) SharedRing) {
    shared_->ring().format();
    for (std::uint32_t token = 0; token < kTokens; ++token) {
      EXPECT_TRUE(shared_->ring().try_push(token));
    }
  }
  ~ContendedRing() override { ::munmap(memory_, sizeof(SharedRing)); }

  // Takes a token, has it in hand for a moment, and puts it back.
  void pass_token_on() {
    HintRing<Word> ring = shared_->ring();
    const std::optional<std::uint32_t> token = ring.try_pop();
    if (!token) return;
    if (shared_->hands[*token].fetch_add(1) != 0) ++shared_->doubles;
    shared_->hands[*token].fetch_sub(1);
    while (!ring.try_push(*token)) {
    }
    shared_->steps.fetch_add(1, std::memory_order_relaxed);
  }
  std::vector<int> count_tokens() {
    std::vector<int> count(kTokens, 0);
    for (std::uint32_t i = 0; i <= kCells; ++i) {
      if (const auto token = shared_->ring().try_pop()) ++count[*token];
    }
    return count;
  }
  void expect_each_token_once() {
    EXPECT_EQ(count_tokens(), std::vector<int>(kTokens, 1));
    EXPECT_EQ(shared_->doubles.load(), 0u);
  }

  void* memory_;
  SharedRing* shared_;
};

TEST_F(ContendedRing, LosesAndDoublesNothingAmongThreads) {
  std::vector<std::thread> users;
  for (int user = 0; user < kUsers; ++user) {
    users.emplace_back([this] {
      for (int i = 0; i < effort(60'000); ++i) pass_token_on();
    });
  }
  for (std::thread& user : users) user.join();
  expect_each_token_once();
}

TEST_F(ContendedRing, LosesAndDoublesNothingAmongProcesses) {
  std::vector<ChildProcess> users;
  for (int user = 0; user < kUsers; ++user) {
    users.emplace_back([this] {
      for (int i = 0; i < effort(60'000); ++i) pass_token_on();
      return true;
    });
  }
  for (ChildProcess& user : users) EXPECT_TRUE(user.succeeded());
  expect_each_token_once();
}

TEST_F(ContendedRing, KeepsTheOrderOfEachPusher) {
  ASSERT_EQ(count_tokens(), std::vector<int>(kTokens, 1)) << "emptied";
  constexpr std::uint32_t kPushers = 2;
  const auto rounds = static_cast<std::uint32_t>(effort(20'000));
  std::vector<std::thread> pushers;
  for (std::uint32_t pusher = 0; pusher < kPushers; ++pusher) {
    pushers.emplace_back([this, pusher, rounds] {
      for (std::uint32_t i = 0; i < rounds; ++i) {
        while (!shared_->ring().try_push(pusher * 24 + i % 24)) std::this_thread::yield();
      }
    });
  }
  std::array<std::uint32_t, kPushers> next{};
  for (std::uint32_t taken = 0; taken < kPushers * rounds;) {
    const auto value = shared_->ring().try_pop();
    if (!value) continue;
    const std::uint32_t pusher = *value / 24;
    EXPECT_EQ(*value % 24, next[pusher]++ % 24);
    ++taken;
  }
  for (std::thread& pusher : pushers) pusher.join();
}

// The killed lose at most the token that each had in hand; nothing is doubled, and the ring goes
// on.
TEST_F(ContendedRing, LosesOnlyWhatTheKilledHeld) {
  testing::RandomSource random;
  constexpr int kKilled = 24;
  std::uint64_t steps_seen = 0;
  for (int killed = 0; killed < kKilled; killed += 2) {
    const auto pass_on_for_ever = [this] {
      for (;;) pass_token_on();
      return true;
    };
    const ChildProcess first(pass_on_for_ever), second(pass_on_for_ever);
    const std::uint64_t enough = steps_seen + 50 + random.below(2000);
    EXPECT_TRUE(eventually([&] { return shared_->steps.load() > enough; })) << "nobody gets on";
    first.kill();
    second.kill();
    steps_seen = shared_->steps.load();
  }
  int left = 0;
  for (const int count : count_tokens()) {
    EXPECT_LE(count, 1);
    left += count;
  }
  EXPECT_GE(left, static_cast<int>(kTokens) - kKilled);
  EXPECT_TRUE(shared_->ring().try_push(7));
  EXPECT_EQ(shared_->ring().try_pop(), 7u);
}

}  // namespace
}  // namespace slotring::shm
