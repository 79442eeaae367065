// What the session table says of its sessions, for those who look: clients and observers.

#ifndef SLOTRING_CLIENT_LIB_SESSION_LIST_H_
#define SLOTRING_CLIENT_LIB_SESSION_LIST_H_

#include <vector>

#include "client_lib/shm/control_segment.h"
#include "client_lib/shm/session_table.h"
#include "slotring/session.h"

namespace slotring::internal {

// Each is looked at at its own moment; one that ends meanwhile is left out.
std::vector<SessionInfo> list_sessions(const shm::ControlSegment& segment);

// Errors: SESSION_NOT_FOUND, and those of SessionTable::find().
Result<SessionInfo> describe_session(const shm::ControlSegment& segment, std::string_view name);

Error session_not_found(std::string_view name);

}  // namespace slotring::internal

#endif  // SLOTRING_CLIENT_LIB_SESSION_LIST_H_
