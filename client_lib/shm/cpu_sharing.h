// How clients and workers take turns where more of them want to run than there are CPUs.
//
// Left alone, a client and its worker that both have a CPU answer each other in less than a
// microsecond for whole scheduling slices, thousands of calls, while those beside them make none.
// And for a pair to be fast, both must have a CPU at the same time: on two CPUs that is one client
// and one worker, each on the CPU that the other is not on. So:
//
// - Each gives its CPU up between two calls when its turn is over. A turn is long enough for a
//   hundred calls, which share the cost of the change, and short enough for a dozen others to have
//   theirs within a millisecond or two.
// - While it is crowded, CPUs change their part at a beat that all read off the same clock: in one
//   half of it workers run on the odd ones and clients on the even ones, in the next the other way
//   round. Who finds itself on a CPU whose part is not its own lets others go first, a few times;
//   nobody is kept from running where nobody else wants to.
//
// Whether it is crowded is found by giving the CPU up, which takes a fraction of a microsecond when
// nobody else wants it. The next turn is twice as long then, each time, so that a pair that has
// its CPUs to itself makes a few system calls a second; it is short again after a call that took
// long. Who was away for as long as the kernel's own slices met a process that takes no turns: with
// that one it shares evenly, by a turn as long as its absence.
//
// Nothing of this is shared memory, or a promise: each decides for itself, by the clock.
//
// One object a thread.

#ifndef SLOTRING_CLIENT_LIB_SHM_CPU_SHARING_H_
#define SLOTRING_CLIENT_LIB_SHM_CPU_SHARING_H_

#include <cstdint>
#include <optional>

#include "client_lib/shm/futex.h"

namespace slotring::shm {

// Where the calling thread runs; nothing where that cannot be told.
std::optional<std::uint32_t> current_cpu();

// The system calls of CpuSharing.
struct CpuCalls {
  MonotonicNs (*now)() = monotonic_now;
  void (*yield)() = nullptr;  // null: sched_yield()
  std::optional<std::uint32_t> (*cpu)() = current_cpu;
  std::uint32_t (*cpus)() = nullptr;  // null: concurrent_cpus()
};

class CpuSharing {
 public:
  enum class Part : std::uint8_t { kClient = 0, kWorker = 1 };

  explicit CpuSharing(Part part, const CpuCalls& calls = {});

  // Whether somebody else wants this CPU, as far as is known.
  bool crowded() const { return turn_ns_ < kLongTurnNs; }
  // Whether between_calls() has anything to do: one comparison for who is alone.
  bool due(MonotonicNs now) const { return now >= turn_ends_ || crowded(); }
  // Lets others run, if it is their turn. Returns the time, read again if that was done.
  MonotonicNs between_calls(MonotonicNs now);
  // A call took long: somebody else may have run meanwhile.
  void took_long(MonotonicNs now);
  // What is long.
  static constexpr MonotonicNs kLongCallNs = 200'000;

  // Which part has a CPU at that time.
  static Part part_of(std::uint32_t cpu, MonotonicNs now) {
    return static_cast<Part>((cpu + now / kBeatNs) & 1);
  }

  static constexpr MonotonicNs kBeatNs = 500'000;
  static constexpr MonotonicNs kClientTurnNs = 100'000;
  // A worker's serves several clients' turns.
  static constexpr MonotonicNs kWorkerTurnNs = 400'000;

 private:
  // A turn that got as long as this was not wanted by anybody for a while.
  static constexpr MonotonicNs kLongTurnNs = 1'200'000;
  static constexpr MonotonicNs kLongestTurnNs = 100'000'000;
  // Giving the CPU up took less: nobody else ran. No change of processes and back is as fast.
  static constexpr MonotonicNs kNobodyRanNs = 1'200;
  // About as long as the kernel's slices, and longer than turns are.
  static constexpr MonotonicNs kSliceNs = 2'500'000;
  static constexpr int kMostLetGoFirst = 8;

  MonotonicNs end_turn();
  MonotonicNs let_others_go_first(MonotonicNs now);
  // How long the CPU was given up for.
  MonotonicNs give_up(MonotonicNs& now);

  Part part_;
  CpuCalls calls_;
  MonotonicNs shortest_turn_ns_;
  MonotonicNs turn_ns_;
  MonotonicNs turn_ends_ = 0;
  bool several_cpus_ = false;
};

}  // namespace slotring::shm

#endif  // SLOTRING_CLIENT_LIB_SHM_CPU_SHARING_H_
