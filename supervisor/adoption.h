// Finding a pool that runs already: a supervisor that died has left workers, and they hold the
// pool's memory.
//
// Guarantee: when a worker of the pool lives, its memory is found, or the supervisor does not
// start; it never makes a second memory beside one that is in use. Only the first answer is waited
// for: the other workers, which may be stopped, are taken over when they answer (WorkerLink).

#ifndef SLOTRING_SUPERVISOR_ADOPTION_H_
#define SLOTRING_SUPERVISOR_ADOPTION_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client_lib/shm/peer_socket.h"
#include "supervisor/log_output.h"
#include "supervisor/peer_identity.h"
#include "supervisor/pool_memory.h"
#include "supervisor/seat_sockets.h"

namespace slotring::supervisor {

struct FoundWorker {
  shm::SeatIndex seat = 0;
  shm::UniqueFd socket;
  PeerIdentity identity;
  std::optional<shm::Packet> resume;  // when it has answered already
};

struct FoundPool {
  std::unique_ptr<PoolMemory> memory;  // null: there is none, no worker lives
  std::vector<FoundWorker> workers;
};

// REQUIRES: the pool's lock is held. `keep_waiting` is asked now and then while no worker answers.
// Errors: VERSION_MISMATCH (the workers are another build's), REFUSED (not waited any longer),
// SYSTEM_LIMIT.
Result<FoundPool> find_running_pool(const SeatSockets& seats, const std::string& pool,
                                    const Log& log, const std::function<bool()>& keep_waiting);

}  // namespace slotring::supervisor

#endif  // SLOTRING_SUPERVISOR_ADOPTION_H_
