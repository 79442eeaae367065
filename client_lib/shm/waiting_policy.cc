#include "client_lib/shm/waiting_policy.h"

#include <sched.h>

#include <algorithm>
#include <limits>

#include "client_lib/shm/cpu_allowance.h"

namespace slotring::shm {

namespace {

// Where it could not be measured: what it is on common machines.
constexpr std::uint32_t kUsualWakeNs = 20'000;
constexpr std::uint32_t kYields = 4;
// Who sleeps is late with what the peer waits for next, and has that one sleep, too.
constexpr std::uint32_t kWakesSaved = 2;
// Whatever was measured: the CPUs may have been readier for a wake then.
constexpr std::uint64_t kProbeNs = kMostWakeNs;
// Latency: what is waited for comes mostly within this many times a sleep and a wake.
constexpr std::uint32_t kLatencyFactor = 10;
// Frugal: as long as a hot worker takes for a trivial call.
constexpr std::uint32_t kFrugalShare = 16;
// Between caches and memory of common machines; the cap is what a few MiB take.
constexpr std::uint64_t kBytesCopiedIn20us = 128 * 1024;
constexpr std::uint64_t kMostBytesCopied = 16 * kBytesCopiedIn20us;

double pause_ns() {
  static const double once = [] {
    constexpr std::uint32_t kSample = 64;
    MonotonicNs least = std::numeric_limits<MonotonicNs>::max();
    // An interruption makes it longer, nothing makes it shorter.
    for (int i = 0; i < 8; ++i) {
      const MonotonicNs start = monotonic_now();
      for (std::uint32_t pause = 0; pause < kSample; ++pause) cpu_pause();
      least = std::min(least, monotonic_now() - start);
    }
    return std::max(1.0, static_cast<double>(least) / kSample);
  }();
  return once;
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

std::uint32_t spins_in(std::uint64_t ns) {
  return static_cast<std::uint32_t>(static_cast<double>(ns) / pause_ns());
}

std::uint32_t WaitBudget::spins_copying(std::uint64_t bytes) const {
  if (spins == 0) return 0;
  return spins_in(20'000 * std::min(bytes, kMostBytesCopied) / kBytesCopiedIn20us);
}

WaitBudget wait_budget(const WaitingTerms& terms) {
  return wait_budget(terms, concurrent_cpus(), usable_cpus());
}

WaitBudget wait_budget(const WaitingTerms& terms, std::uint32_t cpus, std::uint32_t own_cpus) {
  WaitBudget budget{.yields = kYields};
  budget.worth_ns =
      terms.wake_ns == 0 ? kUsualWakeNs : std::clamp(terms.wake_ns, kLeastWakeNs, kMostWakeNs);
  std::uint64_t spin_ns = kWakesSaved * budget.worth_ns;
  std::uint64_t probe_ns = kProbeNs;
  if (terms.mode == WaitingMode::kLatency) {
    spin_ns *= kLatencyFactor;
    budget.shares_cpu = false;
    // A yield gives away what a spin would have seen; but not on the CPU that the peer needs.
    if (cpus > 1 && own_cpus > 1) {
      budget.learns = false;
      budget.yields = 0;
    }
  } else if (terms.mode == WaitingMode::kFrugal) {
    spin_ns /= kFrugalShare;
    probe_ns = 0;
    budget.yields = 0;
  }
  if (cpus > 1) {
    budget.spins = std::max(1u, spins_in(spin_ns));
    budget.probe_spins = std::max(budget.spins, spins_in(probe_ns));
  }
  return budget;
}

}  // namespace slotring::shm
