#include "client_lib/shm/worker_spread.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace slotring::shm {

namespace {

constexpr std::uint32_t kMostSeats = 64;

// Plus 1; 0 where it is not known, or cannot be a CPU.
std::uint32_t shown_cpu(const ControlSegment& segment, SeatIndex seat) {
  if (segment.seat_word(seat).state != layout::SeatState::kReady) return 0;
  const std::uint32_t shown = segment.seat(seat).cpu.load(std::memory_order_relaxed);
  return shown <= CPU_SETSIZE ? shown : 0;
}

}  // namespace

std::optional<std::uint32_t> better_cpu(const ControlSegment& segment, SeatIndex seat,
                                        const cpu_set_t& usable) {
  const std::uint32_t own = shown_cpu(segment, seat);
  if (own == 0) return std::nullopt;
  std::array<std::uint8_t, CPU_SETSIZE + 1> workers{};
  for (SeatIndex other = 0; other < std::min(segment.geometry().max_workers, kMostSeats); ++other) {
    const std::uint32_t cpu = shown_cpu(segment, other);
    if (cpu == own && other < seat) return std::nullopt;
    ++workers[cpu];
  }
  std::optional<std::uint32_t> best;
  for (std::uint32_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &usable) || workers[cpu + 1] + 2 > workers[own]) continue;
    if (!best || workers[cpu + 1] < workers[*best + 1]) best = cpu;
  }
  return best;
}

void spread(const ControlSegment& segment, SeatIndex seat) {
  cpu_set_t usable;
  if (::sched_getaffinity(0, sizeof(usable), &usable) != 0) return;
  const std::optional<std::uint32_t> cpu = better_cpu(segment, seat, usable);
  if (!cpu) return;
  cpu_set_t there;
  CPU_ZERO(&there);
  CPU_SET(*cpu, &there);
  if (::sched_setaffinity(0, sizeof(there), &there) != 0) return;
  if (::sched_setaffinity(0, sizeof(usable), &usable) == 0) return;
  // The CPUs that it may use have changed meanwhile: whichever there are.
  std::memset(&usable, 0xFF, sizeof(usable));
  ::sched_setaffinity(0, sizeof(usable), &usable);
}

}  // namespace slotring::shm
