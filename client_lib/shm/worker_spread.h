// Keeps the workers of a crowded pool on different CPUs.
//
// A client is fast only with a worker on a CPU that is not its own (cpu_sharing.h). The kernel
// spreads processes by how many there are on each CPU, whatever they are: it leaves all workers on
// one, and the clients there have none to call. A worker moves itself then: it binds its thread to
// a CPU with fewer workers, and frees it again at once. The kernel may move it back. From then on
// its affinity is what it was then, also where its cpuset grows later.

#ifndef SLOTRING_CLIENT_LIB_SHM_WORKER_SPREAD_H_
#define SLOTRING_CLIENT_LIB_SHM_WORKER_SPREAD_H_

#include <sched.h>

#include <optional>

#include "client_lib/shm/control_segment.h"

namespace slotring::shm {

// The CPU of `usable` that the worker of `seat`, which runs on one with others, had better run on:
// one with at least two workers fewer. Only the first seat of those on a CPU is to move, and one at
// a time. By where the seats' records say that they run; looks at 64 seats at most.
std::optional<std::uint32_t> better_cpu(const ControlSegment& segment, SeatIndex seat,
                                        const cpu_set_t& usable);

// Moves the calling thread, the worker's, if there is a better CPU for it.
void spread(const ControlSegment& segment, SeatIndex seat);

}  // namespace slotring::shm

#endif  // SLOTRING_CLIENT_LIB_SHM_WORKER_SPREAD_H_
