// How long tests may take, and how much they do in that time.

#ifndef SLOTRING_TESTS_SUPPORT_EFFORT_H_
#define SLOTRING_TESTS_SUPPORT_EFFORT_H_

#include <sched.h>
#include <unistd.h>

#include <cstdint>

#include "client_lib/shm/futex.h"

namespace slotring::testing {

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
inline constexpr bool kInstrumented = true;
#else
inline constexpr bool kInstrumented = false;
#endif

#if defined(__SANITIZE_THREAD__)
inline constexpr bool kThreadSanitizer = true;
#else
inline constexpr bool kThreadSanitizer = false;
#endif

// A test, or a child process, that takes this long hangs.
inline constexpr unsigned kWatchdogSeconds = 100;

// `rounds` of a long test, or a part of them where each is slow.
constexpr int effort(int rounds) { return kInstrumented ? rounds / 8 + 1 : rounds; }

// Waits until `condition` holds, looking often, but not so often for long that it takes the
// processor from what it waits for. False when that is not within a good half of the watchdog's
// time.
template <class Condition>
[[nodiscard]] bool eventually(Condition condition) {
  const shm::MonotonicNs begin = shm::monotonic_now();
  for (;;) {
    if (condition()) return true;
    const std::uint64_t waited = shm::monotonic_now() - begin;
    if (waited > std::uint64_t{kWatchdogSeconds} * 600'000'000) return false;
    if (waited < 2'000'000) {
      ::sched_yield();
    } else {
      ::usleep(1'000);
    }
  }
}

}  // namespace slotring::testing

#endif  // SLOTRING_TESTS_SUPPORT_EFFORT_H_
