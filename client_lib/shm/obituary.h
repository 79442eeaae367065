// How a worker died, told through the control segment: the supervisor maps no reply data, so it
// cannot write an error's frame for the callers of a dead worker (docs/decisions/0003).
//
// An obituary is written before any slot word names it (kFlagLost and kObituaryMask), and the next
// of the same seat goes to another place, so that a second death does not change what the callers
// of the first one read.

#ifndef SLOTRING_CLIENT_LIB_SHM_OBITUARY_H_
#define SLOTRING_CLIENT_LIB_SHM_OBITUARY_H_

#include <cstdint>
#include <string_view>

#include "client_lib/shm/control_segment.h"
#include "client_lib/shm/slot.h"

namespace slotring::shm {

// Writes how the seat's worker of `generation` died. `wait_status` is waitpid's, or
// kUnknownWaitStatus; `note` says why the supervisor killed it, if it did. Only the supervisor.
void write_obituary(const ControlSegment& segment, SeatIndex seat, std::uint32_t generation,
                    std::int32_t pid, std::int32_t wait_status, std::string_view stderr_tail,
                    std::string_view note = {});

// WORKER_LOST for the call of a slot whose word has these flags, kFlagLost among them. Bounded,
// whatever the memory says.
Error lost_error(const ControlSegment& segment, SlotIndex slot, SlotFlags flags);

}  // namespace slotring::shm

#endif  // SLOTRING_CLIENT_LIB_SHM_OBITUARY_H_
