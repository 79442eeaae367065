// Sleeping on a word of shared memory. Futexes here are shared between processes, never private:
// std::atomic's own wait and notify would not wake another process.

#ifndef SLOTRING_CLIENT_LIB_SHM_FUTEX_H_
#define SLOTRING_CLIENT_LIB_SHM_FUTEX_H_

#include <atomic>
#include <cstdint>

namespace slotring::shm {

// A point in time on CLOCK_MONOTONIC, in nanoseconds; kNever for none.
using MonotonicNs = std::uint64_t;
inline constexpr MonotonicNs kNever = 0;

constexpr MonotonicNs earlier(MonotonicNs a, MonotonicNs b) {
  return b == kNever || (a != kNever && a < b) ? a : b;
}

MonotonicNs monotonic_now();
inline bool has_passed(MonotonicNs deadline) {
  return deadline != kNever && monotonic_now() >= deadline;
}
// The same clock, up to a tick behind and several times cheaper.
MonotonicNs coarse_now();

// The 32 bits that a futex on `word` sleeps on: its low half.
inline const std::uint32_t* futex_half(const std::atomic<std::uint64_t>& word) {
  return reinterpret_cast<const std::uint32_t*>(&word);
}
inline const std::uint32_t* futex_half(const std::atomic<std::uint32_t>& word) {
  return reinterpret_cast<const std::uint32_t*>(&word);
}

// Sleeps while *address == expected, until woken or until `deadline` (absolute). May return early
// for no reason: callers look at their condition again.
void futex_wait(const std::uint32_t* address, std::uint32_t expected, MonotonicNs deadline);
void futex_wake(const std::uint32_t* address, int count);

}  // namespace slotring::shm

#endif  // SLOTRING_CLIENT_LIB_SHM_FUTEX_H_
