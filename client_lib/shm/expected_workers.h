// Whether a caller without a slot may expect to get one: what the seats' words say.

#ifndef SLOTRING_CLIENT_LIB_SHM_EXPECTED_WORKERS_H_
#define SLOTRING_CLIENT_LIB_SHM_EXPECTED_WORKERS_H_

#include "client_lib/shm/control_segment.h"
#include "slotring/result.h"

namespace slotring::shm {

// Whether some worker is ready or on its way. Errors: POOL_DRAINING, WORKER_UNAVAILABLE.
Status check_workers_expected(const ControlSegment& segment);

// The same of one seat's worker. Errors: as above, and WORKER_UNAVAILABLE where only this one is
// not due.
Status check_worker_expected(const ControlSegment& segment, SeatIndex seat);

}  // namespace slotring::shm

#endif  // SLOTRING_CLIENT_LIB_SHM_EXPECTED_WORKERS_H_
