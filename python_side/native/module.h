// The extension module slotring._native. What is public of it is in slotring/_native.pyi.

#ifndef SLOTRING_PYTHON_SIDE_NATIVE_MODULE_H_
#define SLOTRING_PYTHON_SIDE_NATIVE_MODULE_H_

#include "python_side/native/python_ref.h"
#include "slotring/error.h"

namespace slotring::python {

// The module's own objects; owned by the module.
struct ModuleState {
  PyObject* failure_type;  // slotring._native.Failure(message, code)
  PyTypeObject* area_type;
  PyTypeObject* context_type;
  PyTypeObject* call_type;
  PyTypeObject* channel_type;
  PyTypeObject* session_table_type;
  PyTypeObject* table_schema_type;
  PyTypeObject* worker_type;
};

// As raise(), for methods of the module's types.
PyObject* raise_failure(PyObject* self, const Error& error);

}  // namespace slotring::python

#endif  // SLOTRING_PYTHON_SIDE_NATIVE_MODULE_H_
