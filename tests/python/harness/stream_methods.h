// slotring_harness.Pool: calls that carry a stream, and tools that they may ask. Test-only.

#ifndef SLOTRING_TESTS_PYTHON_HARNESS_STREAM_METHODS_H_
#define SLOTRING_TESTS_PYTHON_HARNESS_STREAM_METHODS_H_

#include <Python.h>

namespace slotring::testing {

// start_stream(method, kind, payload, timeout_s, window_bytes): sends it; returns its ticket.
PyObject* start_stream(PyObject* self, PyObject* arguments);
// next_item(ticket): (kind, bytes); None after the last.
PyObject* next_item(PyObject* self, PyObject* ticket);
// finish_stream(ticket): (kind, bytes) of the outcome. Its stream is gone then.
PyObject* finish_stream(PyObject* self, PyObject* ticket);
// drop_stream(ticket): the caller wants no more.
PyObject* drop_stream(PyObject* self, PyObject* ticket);
// write_item(ticket, kind, payload): waits for room.
PyObject* write_item(PyObject* self, PyObject* arguments);
PyObject* finish_writing(PyObject* self, PyObject* ticket);

// add_tool(name, tool): tool(kind, bytes) -> (kind, bytes), of calls that are started later.
PyObject* add_tool(PyObject* self, PyObject* arguments);
// nested(method, kind, payload, timeout_s): calls from a tool; returns (kind, bytes).
PyObject* nested(PyObject* self, PyObject* arguments);

}  // namespace slotring::testing

#endif  // SLOTRING_TESTS_PYTHON_HARNESS_STREAM_METHODS_H_
