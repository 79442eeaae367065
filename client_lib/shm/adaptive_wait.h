// How to wait for a peer in another process: spin, yield, then sleep, each only while it pays.
//
// Spinning pays when the peer runs on another core and answers sooner than a sleep and a wake would
// take; yielding pays when it is runnable on this core. Neither can be known, so both are learned,
// a wait at a time: a means that failed a few times in a row is left out, but for a probe now and
// then. A means is tried for at most about what it saves (the cost of a sleep and a wake), which
// bounds the loss to a factor of two. Source: Karlin, Manasse, McGeoch, Owicki, "Competitive
// randomized algorithms for nonuniform problems", SODA 1990.
//
// One object a waiting thread or a slot; not shared between threads.

#ifndef SLOTRING_CLIENT_LIB_SHM_ADAPTIVE_WAIT_H_
#define SLOTRING_CLIENT_LIB_SHM_ADAPTIVE_WAIT_H_

#include <cstdint>
#include <utility>

#include "client_lib/shm/futex.h"

namespace slotring::shm {

void cpu_pause();
void yield_cpu();
// How many cpu_pause() make up the time that a sleep and a wake take. Measured once a process.
std::uint32_t spins_worth_a_sleep();
// How many more of them pass while somebody copies `bytes`, about; 0 where spinning never pays.
std::uint32_t spins_worth_copying(std::uint64_t bytes);
// A copy of fewer bytes takes no longer than a wait spins anyway.
inline constexpr std::uint64_t kLongCopyBytes = 64 * 1024;

// Whether one means of waiting pays.
class LearnedTries {
 public:
  explicit LearnedTries(std::uint32_t most) : most_(most) {}

  // How many tries this wait should spend on it.
  std::uint32_t next() {
    if (misses_ < kPatience) return most_;
    return ++left_out_ % kProbeEvery == 0 ? most_ : 0;
  }
  void hit() { misses_ = 0; }
  void miss() {
    if (misses_ < kPatience) ++misses_;
  }

 private:
  static constexpr std::uint32_t kPatience = 3;
  static constexpr std::uint32_t kProbeEvery = 32;

  std::uint32_t most_;
  std::uint32_t misses_ = 0;
  std::uint32_t left_out_ = 0;
};

class AdaptiveWait {
 public:
  AdaptiveWait() : spins_(spins_worth_a_sleep()), yields_(kYields) {}

  // What the next wait is for comes after the peer has copied `bytes`: work that is known, so that
  // wait may spin for as much longer, and costs at most twice what the copy does.
  void expect_copy(std::uint64_t bytes) { copy_spins_ = spins_worth_copying(bytes); }

  // Returns true as soon as done() is, false when `deadline` passed before. sleep() blocks until
  // something may have changed or the deadline passed, and may return early.
  template <class Done, class Sleep>
  bool wait(Done done, Sleep sleep, MonotonicNs deadline) {
    const std::uint32_t longer = std::exchange(copy_spins_, 0);
    if (try_for(spins_, longer, done, cpu_pause)) return true;
    if (try_for(yields_, 0, done, yield_cpu)) return true;
    while (!done()) {
      if (has_passed(deadline)) return false;
      sleep();
    }
    return true;
  }

 private:
  static constexpr std::uint32_t kYields = 4;

  template <class Done, class Pause>
  static bool try_for(LearnedTries& tries, std::uint32_t longer, Done done, Pause pause) {
    std::uint32_t most = tries.next();
    if (most > 0) most += longer;
    for (std::uint32_t i = 0; i < most; ++i) {
      if (done()) {
        tries.hit();
        return true;
      }
      pause();
    }
    if (most > 0) tries.miss();
    return false;
  }

  LearnedTries spins_;
  LearnedTries yields_;
  std::uint32_t copy_spins_ = 0;
};

}  // namespace slotring::shm

#endif  // SLOTRING_CLIENT_LIB_SHM_ADAPTIVE_WAIT_H_
