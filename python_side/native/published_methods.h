// The methods that Worker.publish() is given. With the GIL held.

#ifndef SLOTRING_PYTHON_SIDE_NATIVE_PUBLISHED_METHODS_H_
#define SLOTRING_PYTHON_SIDE_NATIVE_PUBLISHED_METHODS_H_

#include <optional>
#include <vector>

#include "python_side/native/method_table.h"
#include "python_side/native/python_ref.h"

namespace slotring::python {

// Of a list of (name, handler, wants_context, broadcast_only, takes_calls, request_table,
// reply_table); a table is None or of `table_type`. Nothing with a Python exception.
std::optional<std::vector<Method>> parse_methods(PyObject* list, PyTypeObject* table_type);

}  // namespace slotring::python

#endif  // SLOTRING_PYTHON_SIDE_NATIVE_PUBLISHED_METHODS_H_
