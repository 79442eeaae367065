// Times as Python has them: a number of seconds, not below 0, or None where there is no bound. With
// the GIL held.

#ifndef SLOTRING_PYTHON_SIDE_NATIVE_SECONDS_H_
#define SLOTRING_PYTHON_SIDE_NATIVE_SECONDS_H_

#include "client_lib/shm/futex.h"
#include "python_side/native/python_ref.h"

namespace slotring::python {

// Converters, for PyArg_ParseTuple()'s "O&" too. 0 with a Python exception; ValueError for what is
// below 0, or no number. What is longer than a year is no bound.
//
// How long that is, in nanoseconds, into a std::uint64_t; shm::kNever for no bound. 0 s are none
// either: SupervisorLink::watch(), who has it, takes them so.
int parse_duration(PyObject* seconds, void* into);
// When that is from now, into a shm::MonotonicNs; shm::kNever for no bound.
int parse_deadline(PyObject* seconds, void* into);

// How many seconds are left until then, not below 0: a float.
PyObject* seconds_until(shm::MonotonicNs at);

}  // namespace slotring::python

#endif  // SLOTRING_PYTHON_SIDE_NATIVE_SECONDS_H_
