#include "client_lib/shm/cpu_sharing.h"

#include <sched.h>

#include <algorithm>

#include "client_lib/shm/cpu_allowance.h"
#include "client_lib/shm/waiting_policy.h"

namespace slotring::shm {

std::optional<std::uint32_t> current_cpu() {
  // No system call where the C library has the kernel write it into the thread (rseq).
  const int cpu = ::sched_getcpu();
  if (cpu < 0) return std::nullopt;
  return static_cast<std::uint32_t>(cpu);
}

CpuSharing::CpuSharing(Part part, const CpuCalls& calls)
    : part_(part),
      calls_(calls),
      shortest_turn_ns_(part == Part::kClient ? kClientTurnNs : kWorkerTurnNs),
      turn_ns_(shortest_turn_ns_) {
  if (calls_.yield == nullptr) calls_.yield = yield_cpu;
  // Who is bound to one CPU has no other part to wait for.
  if (calls_.cpus == nullptr) calls_.cpus = usable_cpus;
}

MonotonicNs CpuSharing::between_calls(MonotonicNs now) {
  if (now >= turn_ends_) now = end_turn();
  return takes_part() ? let_others_go_first(now) : now;
}

MonotonicNs CpuSharing::give_up(MonotonicNs& now) {
  const MonotonicNs before = calls_.now();
  calls_.yield();
  now = calls_.now();
  return now - before;
}

MonotonicNs CpuSharing::end_turn() {
  MonotonicNs now;
  MonotonicNs away = give_up(now);
  // After a call that copied much, one that changes nothing takes as long as a short change; the
  // next one does not. Where turns are taken, a change is what is to be expected.
  const bool caches_may_be_cold = !takes_part() || last_call_ns_ >= kShortCallNs;
  if (caches_may_be_cold && away >= kNobodyRanNs && away < kColdCachesNs) away = give_up(now);
  const MonotonicNs shortest =
      recent_call_ns_ < kShortCallNs ? shortest_turn_ns_ : kLongCallsTurnNs;
  if (away < kNobodyRanNs) {
    turn_ns_ = std::min(std::max(2 * turn_ns_, shortest), kLongestTurnNs);
    if (++unwanted_ >= kAloneAfter) wanted_ = false;
  } else {
    unwanted_ = 0;
    turn_ns_ = away < kSliceNs ? shortest : std::min(away, kLongestTurnNs);
    wanted_ = away < kSliceNs;
  }
  turn_ends_ = now + turn_ns_;
  if (wanted_) several_cpus_ = calls_.cpus() > 1;
  return now;
}

MonotonicNs CpuSharing::let_others_go_first(MonotonicNs now) {
  MonotonicNs all = 0;
  for (int i = 0; i < kMostLetGoFirst && all < kSliceNs; ++i) {
    const std::optional<std::uint32_t> cpu = calls_.cpu();
    if (!cpu || part_of(*cpu, now) == part_) break;
    const MonotonicNs away = give_up(now);
    if (away < kNobodyRanNs) break;
    // Who takes no turns, but a whole slice, is not let go first again.
    all += away;
  }
  return now;
}

void CpuSharing::look_again_soon(MonotonicNs now) {
  if (crowded()) return;
  turn_ends_ = std::min(turn_ends_, now + shortest_turn_ns_);
}

}  // namespace slotring::shm
