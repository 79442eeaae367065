// What a running pool keeps of its configuration, whatever a supervisor that takes it over is told:
// the memory's sizes, and where sessions are kept. Both last until the pool is stopped.

#ifndef SLOTRING_SUPERVISOR_KEPT_CONFIG_H_
#define SLOTRING_SUPERVISOR_KEPT_CONFIG_H_

#include <string>

#include "client_lib/shm/control_segment.h"
#include "slotring/result.h"
#include "supervisor/config.h"
#include "supervisor/log_output.h"

namespace slotring::supervisor {

// Gives `config` the sizes that the pool runs with, and says so where they are others.
void keep_sizes(PoolConfig& config, const layout::Geometry& running, const Log& log);

// A running pool keeps its kind of store: workers of two kinds would lose each other's sessions.
// Its header is the only source, and a peer may have scribbled over that since it was last
// repaired: what is no kind at all counts as memory, a wrong kind is believed. The path it does not
// tell. Errors: INVALID_ARGUMENT (it runs with a database, and `config` has none).
Status keep_store(PoolConfig& config, const shm::ControlSegment& running, const Log& log);

// Whether a supervisor with the configuration `later` could go on with the pool. Errors:
// INVALID_ARGUMENT (another session_store than the database that its workers use).
Status check_successor(const PoolConfig& running, const PoolConfig& later);
// What of that configuration would wait until the pool is stopped; empty for nothing.
std::string what_waits(const PoolConfig& running, const PoolConfig& later);

}  // namespace slotring::supervisor

#endif  // SLOTRING_SUPERVISOR_KEPT_CONFIG_H_
