// The pool's sessions as slotring/session_keepers.py sees them: slotring._native.SessionTable. With
// the GIL held.

#ifndef SLOTRING_PYTHON_SIDE_NATIVE_SESSION_TABLE_H_
#define SLOTRING_PYTHON_SIDE_NATIVE_SESSION_TABLE_H_

#include "client_lib/shm/worker_seat.h"
#include "python_side/native/python_ref.h"

namespace slotring::python {

extern PyType_Spec session_table_spec;

// `seat` is of `worker`, which the new object keeps alive. Null with a Python exception.
Ref new_session_table(PyTypeObject* type, PyObject* worker, const shm::WorkerSeat& seat);

}  // namespace slotring::python

#endif  // SLOTRING_PYTHON_SIDE_NATIVE_SESSION_TABLE_H_
