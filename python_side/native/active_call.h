// slotring._native.Call: one call that a worker serves, as a Python object, so that it may be
// served beside others, outlive the C stack, and end on any thread. With the GIL held.
//
// Guarantee: it ends exactly once: by reply(), by fail(), by run(), or, with INTERNAL, when it dies
// without any of them. Its context is valid until then.

#ifndef SLOTRING_PYTHON_SIDE_NATIVE_ACTIVE_CALL_H_
#define SLOTRING_PYTHON_SIDE_NATIVE_ACTIVE_CALL_H_

#include <optional>
#include <string_view>

#include "python_side/native/python_ref.h"
#include "python_side/native/server.h"

namespace slotring::python {

// The next call that is requested, begun; None where none is, or where it has been answered with an
// error already. Null with a Python exception.
// `method`: of this one only.
PyObject* next_call(Server& server, std::optional<std::string_view> method = std::nullopt);
// The same of a call that was taken.
PyObject* begin_call(Server& server, const shm::RunningCall& taken);

extern PyType_Spec active_call_spec;

}  // namespace slotring::python

#endif  // SLOTRING_PYTHON_SIDE_NATIVE_ACTIVE_CALL_H_
