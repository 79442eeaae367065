// A buffer as DLPack has it, which torch and the like look at without a copy. With the GIL held.

#ifndef SLOTRING_PYTHON_SIDE_NATIVE_DLPACK_H_
#define SLOTRING_PYTHON_SIDE_NATIVE_DLPACK_H_

#include "python_side/native/python_ref.h"

namespace slotring::python {

// A "dltensor" capsule of `object`'s buffer, which its consumer holds as long as it uses it: for
// the slot's sake that is a view like any other (view.h). Null with a Python exception. As a
// module's method.
PyObject* dlpack_capsule(PyObject* module, PyObject* object);

}  // namespace slotring::python

#endif  // SLOTRING_PYTHON_SIDE_NATIVE_DLPACK_H_
