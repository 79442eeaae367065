// What a worker says that it runs, as anybody in the pool may see it: for status, for the limit on
// how long a call may run, and for the worker's own thread that tells handlers of cancellation.
//
// The seat's record is the worker's word for it, the slot word is the truth: a call is reported
// only when both name the same generation, and the slot is RUNNING or ABANDONED. Everything is
// copied once and bounded; a record that lies can make its own worker look busy or hung, nothing
// else.

#ifndef SLOTRING_CLIENT_LIB_SHM_OBSERVED_CALL_H_
#define SLOTRING_CLIENT_LIB_SHM_OBSERVED_CALL_H_

#include <cstdint>
#include <optional>

#include "client_lib/shm/control_segment.h"
#include "client_lib/shm/futex.h"

namespace slotring::shm {

// No thread of a worker got its interpreter for so long: it hangs, as native code does that keeps
// the GIL. A worker proves the contrary once a second while a call runs that long. Where calls have
// a shorter limit, that is the time, and it does so twice in it.
inline constexpr std::uint64_t kHungAfterNs = 2'000'000'000;

struct ObservedCall {
  layout::RunningWord running;
  SlotIndex slot = 0;
  bool abandoned = false;       // nobody waits for it any more
  std::uint64_t run_ns = 0;     // since it was started
  std::uint64_t unseen_ns = 0;  // since a thread of the worker had the interpreter, at most run_ns

  std::uint64_t hung_after_ns = kHungAfterNs;

  bool hung() const { return unseen_ns >= hung_after_ns; }
};

// The call that the seat's worker runs at `now`, if any.
std::optional<ObservedCall> observe_call(const ControlSegment& segment, SeatIndex seat,
                                         MonotonicNs now);

// ControlHeader::call_time_limit_ns. The supervisor may change it.
std::uint64_t call_time_limit_ns(const ControlSegment& segment);

}  // namespace slotring::shm

#endif  // SLOTRING_CLIENT_LIB_SHM_OBSERVED_CALL_H_
