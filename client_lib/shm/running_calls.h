// The calls that a worker runs, by its own account: what the slots' words say of that is compared
// with this, after somebody has scribbled over them.
//
// Tells observers of the one that has run the longest (SeatRecord::running; observed_call.h), and
// counts those that end, with their service times (CallStats). Only the worker writes those blocks.
//
// Part of a WorkerSeat, and used by one thread at a time as that is. A slot is named as the seat
// counts them: 0 is its first.

#ifndef SLOTRING_CLIENT_LIB_SHM_RUNNING_CALLS_H_
#define SLOTRING_CLIENT_LIB_SHM_RUNNING_CALLS_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "client_lib/shm/control_segment.h"
#include "client_lib/shm/futex.h"
#include "slotring/error.h"

namespace slotring::shm {

class RunningCalls {
 public:
  // `segment` outlives this.
  RunningCalls(const ControlSegment& segment, SeatIndex seat);

  bool runs(std::uint32_t slot, std::uint32_t generation) const {
    return calls_[slot].generation == generation;
  }

  // The slot's word is RUNNING.
  void start(std::uint32_t slot, std::uint32_t generation) { calls_[slot].generation = generation; }
  // Its frame has checked, and a handler will have it: observers see it from now on.
  void show(std::uint32_t slot, std::uint16_t method, MonotonicNs since);
  // Before the outcome is published, so that who has that finds the call counted.
  void end(std::uint32_t slot, ErrorCategory outcome);

 private:
  struct Call {
    std::optional<std::uint32_t> generation;  // none: the slot runs nothing
    MonotonicNs since = kNever;               // kNever: it was never shown
    std::uint16_t method = 0;
  };

  void name(std::uint32_t slot);
  void name_another_than(std::uint32_t slot);
  void count(ErrorCategory outcome, std::uint64_t ns);

  layout::SeatRecord* record_;
  layout::CallStats* stats_;
  std::vector<Call> calls_;  // one a slot of the seat
  std::uint32_t shown_ = 0;  // how many have been shown, and have not ended
  std::uint32_t named_ = 0;  // the slot that SeatRecord::running names
};

}  // namespace slotring::shm

#endif  // SLOTRING_CLIENT_LIB_SHM_RUNNING_CALLS_H_
