// Of the threads that wait for one call, which sleeps on the slot's word.
//
// One at a time. Whoever changes what a sleeper waits for takes its flag out of the word, so that a
// sleeper that has looked, and is not asleep yet, does not fall asleep on it. A second sleeper that
// set the flag again would undo that: the word is as it was, and the first sleeps through its wake.
// So the others sleep here, until the one on the word has set the flag, or has woken: then all look
// again, and one of them takes the turn.
//
// All in one process.

#ifndef SLOTRING_CLIENT_LIB_WORD_TURN_H_
#define SLOTRING_CLIENT_LIB_WORD_TURN_H_

#include <atomic>
#include <climits>
#include <cstdint>

#include "client_lib/shm/futex.h"

namespace slotring::internal {

class WordTurn {
 public:
  // Calls sleep_on_word() if no other thread does; it calls pass_on() when the flag is set, before
  // it looks. Otherwise sleeps, unless over(), until there may be something new to look at, or
  // until the deadline. Returns early at times.
  template <class SleepOnWord, class Over>
  void sleep(shm::MonotonicNs deadline, const SleepOnWord& sleep_on_word, const Over& over) {
    // seq_cst, all of them: before the look at `taken_`, and before over(): a turn that is passed
    // on after either changes what this sleeps on.
    const std::uint32_t seen = turns_.load(std::memory_order_seq_cst);
    if (!taken_.exchange(true, std::memory_order_seq_cst)) {
      sleep_on_word();
      taken_.store(false, std::memory_order_seq_cst);
      pass_on();
      return;
    }
    followers_.fetch_add(1, std::memory_order_seq_cst);
    if (!over()) shm::futex_wait(shm::futex_half(turns_), seen, deadline);
    followers_.fetch_sub(1, std::memory_order_relaxed);
  }

  void pass_on() {
    turns_.fetch_add(1, std::memory_order_seq_cst);
    if (followers_.load(std::memory_order_seq_cst) != 0) {
      shm::futex_wake(shm::futex_half(turns_), INT_MAX);
    }
  }

 private:
  std::atomic<bool> taken_{false};
  std::atomic<std::uint32_t> turns_{0};  // a futex
  std::atomic<std::uint32_t> followers_{0};
};

}  // namespace slotring::internal

#endif  // SLOTRING_CLIENT_LIB_WORD_TURN_H_
