#include "client_lib/word_turn.h"

#include <atomic>
#include <thread>

#include <gtest/gtest.h>

#include "tests/support/effort.h"

namespace slotring::internal {
namespace {

using slotring::testing::eventually;

TEST(WordTurn, LetsOneThreadAtATimeSleepOnTheWordAndTheOthersLookWhenItPassesOn) {
  WordTurn turn;
  std::atomic<bool> flag_is_set = false;
  std::atomic<bool> woken = false;
  std::atomic<int> on_word = 0;
  std::atomic<int> looks = 0;
  std::thread first([&] {
    turn.sleep(
        shm::kNever,
        [&] {
          EXPECT_EQ(++on_word, 1);
          flag_is_set = true;
          EXPECT_TRUE(eventually([&] { return woken.load(); }));
          --on_word;
        },
        [] { return true; });
  });
  EXPECT_TRUE(eventually([&] { return flag_is_set.load(); }));
  bool had_the_turn = false;
  std::thread second([&] {
    while (!had_the_turn) {
      turn.sleep(
          shm::kNever,
          [&] {
            EXPECT_EQ(++on_word, 1) << "a second thread sleeps on the word";
            had_the_turn = true;
            --on_word;
          },
          [&] { return ++looks, false; });
    }
  });
  // Each pass has it look again.
  EXPECT_TRUE(eventually([&] { return looks.load() > 0; }));
  const int before = looks;
  EXPECT_TRUE(eventually([&] {
    turn.pass_on();
    return looks.load() > before;
  }));
  woken = true;
  first.join();
  second.join();
  EXPECT_TRUE(had_the_turn);
}

}  // namespace
}  // namespace slotring::internal
