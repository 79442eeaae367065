// What the reaper does after a proven death. Only the supervisor calls these, for processes that a
// pidfd (or their absence at the recorded start time) has shown to be dead; nothing here looks at a
// clock.
//
// Each walk goes along the arrows of schemas/slot_word.h, is idempotent, and may itself be killed
// at any instruction and be repeated by the next supervisor.

#ifndef SLOTRING_CLIENT_LIB_SHM_RECLAIM_H_
#define SLOTRING_CLIENT_LIB_SHM_RECLAIM_H_

#include <cstdint>

#include "client_lib/shm/obituary.h"
#include "client_lib/shm/slot_pool.h"

namespace slotring::shm {

// Frees a dead client's slots (those that a worker runs become ABANDONED, and come back from it)
// and its places in the waiting line. Returns how many slots it walked.
std::uint32_t reclaim_client(const SlotPool& pool, std::uint16_t owner);

// Ends what a dead worker had started: RUNNING becomes REPLIED with kFlagLost, ABANDONED becomes
// FREE, and callers of REPLIED slots are woken again. REQUESTED stays for the successor; when
// `retired` says that there will be none, it ends as lost too. REQUIRES: the seat's word is LOST
// (or RETIRED) already, and write_obituary() was called.
std::uint32_t reclaim_worker(const SlotPool& pool, SeatIndex seat, std::uint32_t generation,
                             bool retired);

// Makes `listed` and the rings agree again after a death: a FREE slot without a hint gets one, any
// other state without a hint loses `listed`, so that its releaser lists it. Does the same for the
// waiting line, and has those that want one seat look again. Also for a supervisor that takes a
// pool over.
void audit_hints(const SlotPool& pool);

// Wakes callers that wait although slots are free. Run while, and only while, somebody waits.
void audit_waiters(const SlotPool& pool);

}  // namespace slotring::shm

#endif  // SLOTRING_CLIENT_LIB_SHM_RECLAIM_H_
