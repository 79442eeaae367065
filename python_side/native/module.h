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

// Of one of the module's types.
inline const ModuleState& module_of(PyTypeObject* type) {
  return *static_cast<const ModuleState*>(PyType_GetModuleState(type));
}

// As raise(), with the module's Failure: for what makes one of its types, and for their methods.
PyObject* raise_failure(PyTypeObject* type, const Error& error);
inline PyObject* raise_failure(PyObject* self, const Error& error) {
  return raise_failure(Py_TYPE(self), error);
}

}  // namespace slotring::python

#endif  // SLOTRING_PYTHON_SIDE_NATIVE_MODULE_H_
