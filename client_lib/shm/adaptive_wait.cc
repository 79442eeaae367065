#include "client_lib/shm/adaptive_wait.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>

namespace slotring::shm {

namespace {

// What a futex sleep and wake cost on common machines; within a factor of two is enough for the
// bound.
constexpr std::uint64_t kSleepCostNs = 20'000;
// Between caches and memory of common machines; the cap is what a few MiB take.
constexpr std::uint64_t kBytesCopiedMeanwhile = 128 * 1024;
constexpr std::uint64_t kMostSleeps = 16;

std::uint32_t measure_spins() {
  if (sysconf(_SC_NPROCESSORS_ONLN) < 2) return 0;
  constexpr std::uint32_t kSample = 256;
  const MonotonicNs start = monotonic_now();
  for (std::uint32_t i = 0; i < kSample; ++i) cpu_pause();
  const std::uint64_t elapsed = std::max<std::uint64_t>(monotonic_now() - start, kSample);
  return static_cast<std::uint32_t>(
      std::clamp<std::uint64_t>(kSleepCostNs * kSample / elapsed, 64, 20'000));
}

}  // namespace

void cpu_pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");
#endif
}

void yield_cpu() { sched_yield(); }

std::uint32_t spins_worth_a_sleep() {
  static const std::uint32_t spins = measure_spins();
  return spins;
}

std::uint32_t spins_worth_copying(std::uint64_t bytes) {
  const std::uint64_t most = kMostSleeps * kBytesCopiedMeanwhile;
  return static_cast<std::uint32_t>(spins_worth_a_sleep() * std::min(bytes, most) /
                                    kBytesCopiedMeanwhile);
}

}  // namespace slotring::shm
