// What it costs to sleep for a peer and be woken by it, measured on this machine; by it those who
// wait decide how long to spin before they sleep (client_lib/shm/waiting_policy.h).

#ifndef SLOTRING_SUPERVISOR_WAKE_METER_H_
#define SLOTRING_SUPERVISOR_WAKE_METER_H_

#include <cstdint>

namespace slotring::supervisor {

// Nanoseconds from one thread's wake of another, on another CPU if there are two, to where that one
// runs: the lower quartile of some, measured once a process in 10 ms at most. 0 where no thread can
// be started.
std::uint32_t measured_wake_ns();

}  // namespace slotring::supervisor

#endif  // SLOTRING_SUPERVISOR_WAKE_METER_H_
