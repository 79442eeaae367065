// Makes the session table whole again after its users' deaths: sound chains, and no record that is
// half created or half ended.

#ifndef SLOTRING_CLIENT_LIB_SHM_SESSION_AUDIT_H_
#define SLOTRING_CLIENT_LIB_SHM_SESSION_AUDIT_H_

#include <cstdint>
#include <functional>

#include "client_lib/shm/control_segment.h"

namespace slotring::shm {

// Finishes what processes that are not alive any more left half done. For the supervisor, after a
// death, when it takes a pool over, and when it repairs one. Returns how many records it mended.
std::uint32_t audit_sessions(const ControlSegment& segment,
                             const std::function<bool(std::uint16_t creator)>& is_alive);

}  // namespace slotring::shm

#endif  // SLOTRING_CLIENT_LIB_SHM_SESSION_AUDIT_H_
