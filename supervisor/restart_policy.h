// When a dead worker's successor is due, and when there is to be none: exponential back-off with
// jitter, and an end to crash loops. Pure: time and chance come from the caller. One a seat.

#ifndef SLOTRING_SUPERVISOR_RESTART_POLICY_H_
#define SLOTRING_SUPERVISOR_RESTART_POLICY_H_

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>

namespace slotring::supervisor {

struct RestartLimits {
  std::chrono::milliseconds delay{100};  // before the second start; doubles with each further one
  std::chrono::milliseconds delay_max{30'000};
  std::uint32_t crash_loop_deaths = 5;  // this many deaths ...
  std::chrono::milliseconds crash_loop_window{
      60'000};  // ... within this end the loop; 0 deaths: never
};

// Why a start did not last. A shortage of the machine's (descriptors, processes, memory) is not the
// worker's fault: it delays, and never ends a loop. A worker that was killed because a call took
// too long had served: its successor is due after the first delay, whatever was before. One that
// served, and then ended by itself and well, was recycled: its successor is due at once, and
// nothing counts.
enum class StartEnd : std::uint8_t { kWorkerDied, kShortage, kOverdueCall, kRecycled };

class RestartPolicy {
 public:
  using Clock = std::chrono::steady_clock;

  explicit RestartPolicy(const RestartLimits& limits) : limits_(limits) {}

  // The delay before the successor of a worker that ended at `now` after it had been ready for
  // `ready_for` (0: never was). Nothing when there is to be none. A worker that was ready for the
  // window or longer clears the record, and its successor is due at once. `chance` in [0, 1)
  // spreads the delay by a quarter either way, so that seats that died together do not start
  // together.
  std::optional<std::chrono::milliseconds> plan(Clock::time_point now,
                                                std::chrono::milliseconds ready_for, StartEnd end,
                                                double chance);

 private:
  std::chrono::milliseconds delay_after(std::uint32_t failures, double chance) const;

  RestartLimits limits_;
  std::deque<Clock::time_point> deaths_;  // within the window
  std::uint32_t failures_ = 0;            // in a row
};

}  // namespace slotring::supervisor

#endif  // SLOTRING_SUPERVISOR_RESTART_POLICY_H_
