#include "supervisor/wake_meter.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <thread>
#include <utility>
#include <vector>

#include "client_lib/shm/futex.h"
#include "client_lib/shm/waiting_policy.h"

namespace slotring::supervisor {

namespace {

using shm::MonotonicNs;

// On one CPU a wake is a mere change of threads; where a peer has a CPU of its own, that one has
// slept, and must be woken as well.
void bind_to(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  ::sched_setaffinity(0, sizeof(set), &set);  // failing costs a worse figure
}

// The first and the last that this thread may use; the same where there is one.
std::pair<int, int> two_cpus() {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof(set), &set) != 0) return {0, 0};
  int first = -1;
  int last = 0;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &set)) continue;
    if (first < 0) first = cpu;
    last = cpu;
  }
  return {std::max(first, 0), last};
}

// Two threads that wake each other in turns.
class WakeMeter {
 public:
  MonotonicNs run() {
    took_.reserve(kRounds);
    const auto [one, other] = two_cpus();
    std::thread partner([this, cpu = other] { answer(cpu); });
    std::thread asker;
    try {
      asker = std::thread([this, cpu = one] { ask(cpu); });
    } catch (...) {
      pass_on(kEnd);
      partner.join();
      throw;
    }
    asker.join();
    partner.join();
    // Whatever else runs here makes it longer, never shorter.
    const auto quartile = took_.begin() + static_cast<std::ptrdiff_t>(took_.size() / 4);
    std::nth_element(took_.begin(), quartile, took_.end());
    return *quartile;
  }

 private:
  static constexpr std::size_t kRounds = 32;
  static constexpr MonotonicNs kMostTimeNs = 10'000'000;
  static constexpr std::uint32_t kEnd = 0;

  void ask(int cpu) {
    bind_to(cpu);
    const MonotonicNs begin = shm::monotonic_now();
    MonotonicNs now = begin;
    for (std::uint32_t turn = 2; took_.size() < kRounds && now - begin < kMostTimeNs; turn += 2) {
      pass_on(turn);
      await_change(turn);
      const MonotonicNs before = std::exchange(now, shm::monotonic_now());
      took_.push_back((now - before) / 2);  // there and back
    }
    pass_on(kEnd);
  }
  void answer(int cpu) {
    bind_to(cpu);
    for (std::uint32_t turn = await_change(1); turn != kEnd; turn = await_change(turn + 1)) {
      pass_on(turn + 1);
    }
  }
  void pass_on(std::uint32_t turn) {
    turn_.store(turn, std::memory_order_release);
    shm::futex_wake(shm::futex_half(turn_), 1);
  }
  // What comes after `turn`.
  std::uint32_t await_change(std::uint32_t turn) const {
    for (;;) {
      const std::uint32_t seen = turn_.load(std::memory_order_acquire);
      if (seen != turn) return seen;
      shm::futex_wait(shm::futex_half(turn_), seen, shm::kNever);
    }
  }

  std::vector<MonotonicNs> took_;
  std::atomic<std::uint32_t> turn_{1};
};

std::uint32_t measure() {
  try {
    return static_cast<std::uint32_t>(
        std::clamp<MonotonicNs>(WakeMeter().run(), shm::kLeastWakeNs, shm::kMostWakeNs));
  } catch (const std::exception&) {  // no thread, or no memory for one
    return 0;
  }
}

}  // namespace

std::uint32_t measured_wake_ns() {
  static const std::uint32_t once = measure();
  return once;
}

}  // namespace slotring::supervisor
