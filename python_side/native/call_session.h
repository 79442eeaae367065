// The session of a call that names one: a slotring.Session, opened before the call's handler and
// closed after it. With the GIL held.

#ifndef SLOTRING_PYTHON_SIDE_NATIVE_CALL_SESSION_H_
#define SLOTRING_PYTHON_SIDE_NATIVE_CALL_SESSION_H_

#include "client_lib/shm/worker_seat.h"
#include "python_side/native/python_ref.h"
#include "slotring/result.h"

namespace slotring::python {

// `sessions` is a worker_sessions.WorkerSessions, `describe` slotring.errors.describe. Errors: what
// its open() raises; INVALID_ARGUMENT (a name that is no UTF-8).
Result<Ref> open_session(PyObject* sessions, PyObject* describe, const shm::RunningCall& call);

// Keeps what the call has changed, if it `succeeded`. Errors: what close() raises; the call must
// fail then.
Status close_session(PyObject* sessions, PyObject* describe, PyObject* session, bool succeeded);

}  // namespace slotring::python

#endif  // SLOTRING_PYTHON_SIDE_NATIVE_CALL_SESSION_H_
