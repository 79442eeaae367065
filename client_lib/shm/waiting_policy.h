// What a wait for a peer in another process may spend before it sleeps.
//
// Spinning pays when the peer runs on another CPU and answers sooner than a sleep and a wake would
// take; yielding pays when it is runnable on this CPU. Neither can be known, so both are learned, a
// wait at a time: a means that failed a few times in a row is left out, but for a probe now and
// then, ever more seldom. A means is tried for at most about what it saves (a sleep and a wake, and
// the peer's, which waits longer then), which bounds the loss to a factor of two. Source: Karlin,
// Manasse, McGeoch, Owicki, "Competitive randomized algorithms for nonuniform problems", SODA 1990.
// A probe may take longer: where both sides have come to sleep, it must last until the peer is
// awake to find out that spinning would pay.
//
// What a sleep and a wake cost is measured by the supervisor, and written into the segment's
// header. Where only one CPU can run at a time (cpu_allowance.h), nothing is spent on spinning. See
// docs/decisions/0017-waiting.md.

#ifndef SLOTRING_CLIENT_LIB_SHM_WAITING_POLICY_H_
#define SLOTRING_CLIENT_LIB_SHM_WAITING_POLICY_H_

#include <algorithm>
#include <cstdint>

#include "client_lib/shm/futex.h"
#include "schemas/control_layout.h"

namespace slotring::shm {

using layout::WaitingMode;
using layout::WaitingTerms;

void cpu_pause();
void yield_cpu();

// Whether so little time is left that the CPU is not given up: others may take a slice each before
// they give it back.
constexpr bool hurries(MonotonicNs deadline, MonotonicNs now) {
  constexpr MonotonicNs kHurriesNs = 10'000'000;
  return deadline != kNever && deadline < now + kHurriesNs;
}

// How many cpu_pause() fill `ns` nanoseconds, about.
std::uint32_t spins_in(std::uint64_t ns);

// Between these is what WaitingTerms::wake_ns is taken for.
inline constexpr std::uint32_t kLeastWakeNs = 2'000;
inline constexpr std::uint32_t kMostWakeNs = 200'000;

struct WaitBudget {
  std::uint32_t spins = 0;        // cpu_pause() between two looks; 0 on one CPU
  std::uint32_t probe_spins = 0;  // of the waits that find out whether spinning pays again
  std::uint32_t yields = 0;       // of the CPU
  // What a sleep and a wake take. A yield that took longer did not pay: who got the CPU kept it.
  MonotonicNs worth_ns = 0;
  bool learns = true;      // otherwise all of it is spent on every wait
  bool shares_cpu = true;  // between calls, see cpu_sharing.h

  // How many more spins pass while somebody copies `bytes`, about; 0 where spinning never pays.
  std::uint32_t spins_copying(std::uint64_t bytes) const;
};
// A copy of fewer bytes takes no longer than a wait spins anyway.
inline constexpr std::uint64_t kLongCopyBytes = 64 * 1024;

// What `terms` say is bounded: any peer may have written them.
WaitBudget wait_budget(const WaitingTerms& terms);
// The same where so many CPUs can run at once, and the calling thread may use `own_cpus` of them.
WaitBudget wait_budget(const WaitingTerms& terms, std::uint32_t cpus, std::uint32_t own_cpus);
inline WaitBudget wait_budget(const WaitingTerms& terms, std::uint32_t cpus) {
  return wait_budget(terms, cpus, cpus);
}

// Whether one means of waiting pays.
class LearnedTries {
 public:
  // `probe`: how many a probe takes, if more than `most`.
  explicit LearnedTries(std::uint32_t most, bool learns = true, std::uint32_t probe = 0)
      : most_(most), probe_(std::max(most, probe)), learns_(learns) {}

  // How many tries this wait should spend on it.
  std::uint32_t next() {
    if (misses_ < kPatience || !learns_) return most_;
    return ++left_out_ % probe_every_ == 0 ? probe_ : 0;
  }
  // A probe that took more tries than others may found only what comes too late for those.
  void hit(std::uint32_t tries = 0) {
    misses_ = 0;
    if (tries < most_) {
      probe_every_ = kProbeEvery;
    } else {
      probe_more_seldom();
    }
  }
  // `dear`: it cost about as much as it could have saved, or more; then probes become rare.
  void miss(bool dear = true) {
    if (misses_ < kPatience) {
      ++misses_;
    } else if (dear) {
      probe_more_seldom();
    }
  }

 private:
  void probe_more_seldom() { probe_every_ = std::min(2 * probe_every_, kProbeSeldom); }

  static constexpr std::uint32_t kPatience = 3;
  static constexpr std::uint32_t kProbeEvery = 32;
  static constexpr std::uint32_t kProbeSeldom = 4096;

  std::uint32_t most_;
  std::uint32_t probe_;
  bool learns_;
  std::uint32_t misses_ = 0;
  std::uint32_t left_out_ = 0;
  std::uint32_t probe_every_ = kProbeEvery;
};

}  // namespace slotring::shm

#endif  // SLOTRING_CLIENT_LIB_SHM_WAITING_POLICY_H_
