#include "client_lib/shm/futex.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

namespace slotring::shm {

namespace {

constexpr std::uint64_t kNsPerSecond = 1'000'000'000;

MonotonicNs read_clock(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * kNsPerSecond +
         static_cast<std::uint64_t>(now.tv_nsec);
}

}  // namespace

MonotonicNs monotonic_now() { return read_clock(CLOCK_MONOTONIC); }
MonotonicNs coarse_now() { return read_clock(CLOCK_MONOTONIC_COARSE); }

void futex_wait(const std::uint32_t* address, std::uint32_t expected, MonotonicNs deadline) {
  timespec until;
  until.tv_sec = static_cast<time_t>(deadline / kNsPerSecond);
  until.tv_nsec = static_cast<long>(deadline % kNsPerSecond);
  // The bitset form takes an absolute time, which a signal in between cannot prolong.
  syscall(SYS_futex, address, FUTEX_WAIT_BITSET, expected, deadline == kNever ? nullptr : &until,
          nullptr, FUTEX_BITSET_MATCH_ANY);
}

void futex_wake(const std::uint32_t* address, int count) {
  syscall(SYS_futex, address, FUTEX_WAKE, count, nullptr, nullptr, 0);
}

}  // namespace slotring::shm
