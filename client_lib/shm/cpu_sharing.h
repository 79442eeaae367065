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
// its CPUs to itself makes a few system calls a second; it is short again after one call that took
// much longer than the others: somebody may have run meanwhile. Who was away for as long as the
// kernel's own slices met a process that takes no turns: with that one it shares evenly, by a turn
// as long as its absence.
//
// Calls that take long, for their handler or for what they carry, need none of it: their callers
// sleep meanwhile, and the kernel's slices are as short as they. They offer their CPU seldom, so as
// to know whether it is crowded, and let nobody go first.
//
// Nothing of this is shared memory, or a promise: each decides for itself, by the clock.
//
// One object a thread.

#ifndef SLOTRING_CLIENT_LIB_SHM_CPU_SHARING_H_
#define SLOTRING_CLIENT_LIB_SHM_CPU_SHARING_H_

#include <algorithm>
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
  std::uint32_t (*cpus)() = nullptr;  // that the thread may run on at once with others; null: ask
};

class CpuSharing {
 public:
  enum class Part : std::uint8_t { kClient = 0, kWorker = 1 };

  explicit CpuSharing(Part part, const CpuCalls& calls = {});

  // Whether somebody else wants this CPU, as far as is known.
  bool crowded() const { return wanted_; }
  // The same, and the calls are such that turns and parts help.
  bool takes_part() const { return crowded() && several_cpus_ && recent_call_ns_ < kShortCallNs; }
  // Whether between_calls() has anything to do: one comparison for who is alone.
  bool due(MonotonicNs now) const { return now >= turn_ends_ || crowded(); }
  // Lets others run, if it is their turn. Returns the time, read again if that was done.
  MonotonicNs between_calls(MonotonicNs now);
  // Instead, of a call that is in too much of a hurry: what is known of a crowd grows old.
  void take_no_part() { wanted_ = false; }
  // A call took so long, and ended now.
  void note_call(MonotonicNs ns, MonotonicNs now) {
    // One long call among short ones waited for somebody's turn.
    recent_call_ns_ = std::min(last_call_ns_, ns);
    last_call_ns_ = ns;
    if (ns > kLongCallNs && recent_call_ns_ < kShortCallNs) [[unlikely]]
      look_again_soon(now);
  }

  // Which part has a CPU at that time.
  static Part part_of(std::uint32_t cpu, MonotonicNs now) {
    return static_cast<Part>((cpu + now / kBeatNs) & 1);
  }

  static constexpr MonotonicNs kBeatNs = 500'000;
  static constexpr MonotonicNs kClientTurnNs = 100'000;
  // A worker's serves several clients' turns.
  static constexpr MonotonicNs kWorkerTurnNs = 400'000;
  // Of a thread whose calls are not short.
  static constexpr MonotonicNs kLongCallsTurnNs = 5'000'000;
  static constexpr MonotonicNs kShortCallNs = 20'000;
  static constexpr MonotonicNs kLongCallNs = 200'000;

 private:
  static constexpr MonotonicNs kLongestTurnNs = 100'000'000;
  // Giving the CPU up took less: nobody else ran. No change of processes and back is as fast.
  static constexpr MonotonicNs kNobodyRanNs = 1'200;
  // With caches full of something else it may have taken up to this, and nobody ran.
  static constexpr MonotonicNs kColdCachesNs = 10'000;
  // About as long as the kernel's slices, and longer than turns are.
  static constexpr MonotonicNs kSliceNs = 2'500'000;
  static constexpr int kMostLetGoFirst = 8;
  // After so many offers that nobody took.
  static constexpr int kAloneAfter = 4;

  MonotonicNs end_turn();
  void look_again_soon(MonotonicNs now);
  MonotonicNs let_others_go_first(MonotonicNs now);
  // How long the CPU was given up for.
  MonotonicNs give_up(MonotonicNs& now);

  Part part_;
  CpuCalls calls_;
  MonotonicNs shortest_turn_ns_;
  MonotonicNs turn_ns_;
  MonotonicNs turn_ends_ = 0;
  MonotonicNs last_call_ns_ = 0;
  MonotonicNs recent_call_ns_ = 0;  // the shorter of the last two
  int unwanted_ = 0;                // times in a row that nobody else ran
  bool wanted_ = false;
  bool several_cpus_ = false;
};

}  // namespace slotring::shm

#endif  // SLOTRING_CLIENT_LIB_SHM_CPU_SHARING_H_
