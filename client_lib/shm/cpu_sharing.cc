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
      turn_ns_(kLongTurnNs) {
  if (calls_.yield == nullptr) calls_.yield = yield_cpu;
  if (calls_.cpus == nullptr) calls_.cpus = concurrent_cpus;
}

MonotonicNs CpuSharing::between_calls(MonotonicNs now) {
  if (now >= turn_ends_) now = end_turn();
  return crowded() && several_cpus_ ? let_others_go_first(now) : now;
}

MonotonicNs CpuSharing::give_up(MonotonicNs& now) {
  const MonotonicNs before = calls_.now();
  calls_.yield();
  now = calls_.now();
  return now - before;
}

MonotonicNs CpuSharing::end_turn() {
  MonotonicNs now;
  const MonotonicNs away = give_up(now);
  if (away < kNobodyRanNs) {
    turn_ns_ = std::min(2 * turn_ns_, kLongestTurnNs);
  } else if (away < kSliceNs) {
    turn_ns_ = shortest_turn_ns_;
  } else {
    turn_ns_ = std::min(away, kLongestTurnNs);
  }
  turn_ends_ = now + turn_ns_;
  if (crowded()) several_cpus_ = calls_.cpus() > 1;
  return now;
}

MonotonicNs CpuSharing::let_others_go_first(MonotonicNs now) {
  for (int i = 0; i < kMostLetGoFirst; ++i) {
    const std::optional<std::uint32_t> cpu = calls_.cpu();
    if (!cpu || part_of(*cpu, now) == part_) break;
    if (give_up(now) < kNobodyRanNs) break;
  }
  return now;
}

void CpuSharing::took_long(MonotonicNs now) {
  if (crowded()) return;
  turn_ns_ = shortest_turn_ns_;
  turn_ends_ = now + turn_ns_;
}

}  // namespace slotring::shm
