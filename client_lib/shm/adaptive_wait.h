// Waits for a peer in another process: spins, yields, then sleeps, each only while it pays
// (waiting_policy.h).
//
// One object a waiting thread or a slot; not shared between threads.

#ifndef SLOTRING_CLIENT_LIB_SHM_ADAPTIVE_WAIT_H_
#define SLOTRING_CLIENT_LIB_SHM_ADAPTIVE_WAIT_H_

#include <algorithm>
#include <cstdint>
#include <utility>

#include "client_lib/shm/futex.h"
#include "client_lib/shm/waiting_policy.h"

namespace slotring::shm {

class AdaptiveWait {
 public:
  explicit AdaptiveWait(const WaitBudget& budget)
      : budget_(budget),
        spins_(budget_.spins, budget_.learns, budget_.probe_spins),
        yields_(budget_.yields, budget_.learns) {}

  // What the next wait is for comes after the peer has copied `bytes`: work that is known, so that
  // wait may spin for as much longer, and costs at most twice what the copy does.
  void expect_copy(std::uint64_t bytes) { copy_spins_ = budget_.spins_copying(bytes); }

  const WaitBudget& budget() const { return budget_; }

  // Returns true as soon as done() is, false when `deadline` passed before. sleep() blocks until
  // something may have changed or the deadline passed, and may return early.
  template <class Done, class Sleep>
  bool wait(Done done, Sleep sleep, MonotonicNs deadline) {
    const std::uint32_t longer = std::exchange(copy_spins_, 0);
    if (done()) return true;  // which says nothing of any means
    if (spin(longer, done, deadline) || yield(done, deadline)) return true;
    for (;;) {
      if (has_passed(deadline)) return false;
      sleep();
      if (done()) return true;
    }
  }

 private:
  // A long spin, of a probe, of the mode latency or for a copy, ends at the deadline.
  static constexpr std::uint32_t kSpinsBetweenClocks = 1024;

  template <class Done>
  bool spin(std::uint32_t longer, Done done, MonotonicNs deadline) {
    std::uint32_t most = spins_.next();
    if (most == 0) return false;
    most += longer;
    for (std::uint32_t i = 0; i < most; ++i) {
      cpu_pause();
      if (done()) {
        spins_.hit(i - std::min(i, longer));
        return true;
      }
      if (i % kSpinsBetweenClocks == kSpinsBetweenClocks - 1 && has_passed(deadline)) break;
    }
    spins_.miss();
    return false;
  }

  // A yield that brings what is waited for, but only after somebody else has had a whole slice of
  // the CPU, costs more than a sleep, from which a wake takes the CPU back.
  template <class Done>
  bool yield(Done done, MonotonicNs deadline) {
    const std::uint32_t most = yields_.next();
    if (most == 0) return false;
    const MonotonicNs start = monotonic_now();
    if (hurries(deadline, start)) return false;
    bool paid = true;
    for (std::uint32_t i = 0; i < most && paid; ++i) {
      yield_cpu();
      const bool is_done = done();
      paid = monotonic_now() - start <= budget_.worth_ns;
      if (!is_done) continue;
      paid ? yields_.hit() : yields_.miss();
      return true;
    }
    yields_.miss(/*dear=*/!paid);
    return false;
  }

  WaitBudget budget_;
  LearnedTries spins_;
  LearnedTries yields_;
  std::uint32_t copy_spins_ = 0;
};

}  // namespace slotring::shm

#endif  // SLOTRING_CLIENT_LIB_SHM_ADAPTIVE_WAIT_H_
