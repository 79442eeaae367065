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
// add_mirror(name, method): a tool that answers what it is given, tensors too; with a method, what
// that makes of it in a nested call.
PyObject* add_mirror(PyObject* self, PyObject* arguments);
// write_floats(ticket, buffer, columns): an item that is a float32 tensor of the buffer's numbers,
// as the transpose of what stands there with so many columns.
PyObject* write_floats(PyObject* self, PyObject* arguments);
// nested(method, kind, payload, timeout_s): calls from a tool; returns (kind, bytes).
PyObject* nested(PyObject* self, PyObject* arguments);

}  // namespace slotring::testing

#endif  // SLOTRING_TESTS_PYTHON_HARNESS_STREAM_METHODS_H_
