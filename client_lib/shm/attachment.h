// Joining a pool: Hello and Welcome over its socket, and the memories that come with them, mapped.
// And joining it again, when another supervisor has taken it over.

#ifndef SLOTRING_CLIENT_LIB_SHM_ATTACHMENT_H_
#define SLOTRING_CLIENT_LIB_SHM_ATTACHMENT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "client_lib/shm/control_segment.h"
#include "client_lib/shm/data_memory.h"
#include "client_lib/shm/peer_socket.h"
#include "slotring/result.h"

namespace slotring::shm {

struct Attachment {
  std::string pool;
  std::int32_t supervisor_pid = 0;
  std::uint32_t index = 0;                  // in the client table, or the seat
  std::uint32_t generation = 0;             // attach epoch, or the seat's generation
  std::uint64_t instance = 0;               // of the pool's memory
  std::uint32_t supervisor_epoch = 0;       // of the supervisor that let us in
  std::shared_ptr<ControlSegment> segment;  // read-only for an observer
  std::shared_ptr<DataMemory> requests;     // null for an observer
  std::shared_ptr<DataMemory> replies;      // null for an observer
};

// A geometry as it travels, and back. What comes in is not checked: see layout::is_valid().
wire::PoolGeometry to_wire(const Geometry& geometry);
Geometry to_geometry(const wire::PoolGeometry& geometry);

// Joins as `role`, giving `name` for the supervisor's log. Errors: what the supervisor refused with
// (VERSION_MISMATCH, REFUSED, TOO_MANY_CLIENTS, POOL_DRAINING), DEADLINE_EXCEEDED, BAD_FRAME,
// BAD_SEGMENT, and those of mapping memory.
Result<Attachment> attach(int socket, wire::Role role, std::string_view name, MonotonicNs deadline);

// Tells a supervisor that took the pool over that this client is there. Does not wait for the
// answer, Rejoined or Refused. Errors: as send_packet().
Status send_rejoin(int socket, const Attachment& joined);

}  // namespace slotring::shm

#endif  // SLOTRING_CLIENT_LIB_SHM_ATTACHMENT_H_
