// Methods of slotring_harness.Pool for calls in sessions, and to look at and change their records.

#ifndef SLOTRING_TESTS_PYTHON_HARNESS_SESSION_METHODS_H_
#define SLOTRING_TESTS_PYTHON_HARNESS_SESSION_METHODS_H_

#include <Python.h>

namespace slotring::testing {

PyObject* start_in_session(PyObject* self, PyObject* arguments);
PyObject* finish_in_session(PyObject* self, PyObject* slot);
PyObject* session(PyObject* self, PyObject* name);
PyObject* end_session(PyObject* self, PyObject* name);
PyObject* lose_session(PyObject* self, PyObject* name);
PyObject* place_session(PyObject* self, PyObject* arguments);
PyObject* age_session(PyObject* self, PyObject* arguments);
PyObject* service(PyObject* self, PyObject* seat);

}  // namespace slotring::testing

#endif  // SLOTRING_TESTS_PYTHON_HARNESS_SESSION_METHODS_H_
