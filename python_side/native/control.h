// A worker's side of the talk with its supervisor after it has joined (schemas/attach.fbs). Needs
// nothing of Python: the GIL may be released around all of it.

#ifndef SLOTRING_PYTHON_SIDE_NATIVE_CONTROL_H_
#define SLOTRING_PYTHON_SIDE_NATIVE_CONTROL_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "client_lib/shm/futex.h"
#include "slotring/result.h"

namespace slotring::python {

// Says Ready with these method names and waits for Published. Returns the methods' ids, in their
// order. Errors: POOL_DRAINING, when the supervisor wants the worker to leave instead; BAD_FRAME;
// DEADLINE_EXCEEDED; WORKER_UNAVAILABLE, when the supervisor is gone.
Result<std::vector<std::uint16_t>> publish(int socket, const std::vector<std::string>& methods,
                                           const std::string& runtime, shm::MonotonicNs deadline);

// Says SetupFailed in Ready's place. The texts are cut to what fits a packet.
Status send_setup_failed(int socket, const Error& failure);

Status send_goodbye(int socket);

enum class ControlEvent { kDrain, kGone, kTimeout };

// Waits for the next thing that concerns the worker's life, until `deadline`. kGone: the
// supervisor's end is closed. What comes in at `wake_fd` (signal.set_wakeup_fd) is read and told to
// `on_signal`, without end. Either descriptor may be -1.
ControlEvent next_control_event(int socket, int wake_fd, shm::MonotonicNs deadline,
                                const std::function<void()>& on_signal);

}  // namespace slotring::python

#endif  // SLOTRING_PYTHON_SIDE_NATIVE_CONTROL_H_
