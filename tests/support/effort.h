// How long tests may take, and how much they do in that time.

#ifndef SLOTRING_TESTS_SUPPORT_EFFORT_H_
#define SLOTRING_TESTS_SUPPORT_EFFORT_H_

#include <sched.h>

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

// Waits until `condition` holds. False when it does not within half the watchdog's time.
template <class Condition>
[[nodiscard]] bool eventually(Condition condition) {
  const auto until = shm::monotonic_now() + std::uint64_t{kWatchdogSeconds} * 500'000'000;
  while (!condition()) {
    if (shm::monotonic_now() > until) return false;
    ::sched_yield();
  }
  return true;
}

}  // namespace slotring::testing

#endif  // SLOTRING_TESTS_SUPPORT_EFFORT_H_
