// Tensors as the Python objects that a handler gets of them, and what is known of the arrays that
// it returns. With the GIL held.
//
//     one without a name -> its array; several -> a list; named ones, and the values beside them ->
//     one dict
//
// An array is a numpy array, or, where the worker's environment has no numpy, a memoryview with
// its format and shape. numpy is imported with the first tensor.

#ifndef SLOTRING_PYTHON_SIDE_NATIVE_TENSOR_OBJECTS_H_
#define SLOTRING_PYTHON_SIDE_NATIVE_TENSOR_OBJECTS_H_

#include <functional>
#include <optional>

#include "client_lib/shm/frame.h"
#include "python_side/native/python_ref.h"
#include "slotring/tensor.h"

namespace slotring::python {

// slotring.tensors.NAME, called with these; null with a Python exception.
Ref call_tensors(const char* name, PyObject* argument);

// The array over a memoryview; null with a Python exception.
inline Ref array_over(PyObject* view) { return call_tensors("array_over", view); }

// Makes a memoryview of a tensor; null with a Python exception.
using OpenTensor = std::function<Ref(const Tensor&)>;

// What a frame of kind Tensors is to a handler, over views that `open` makes. Errors: BAD_FRAME,
// INVALID_ARGUMENT (the value beside them is no map, or has a tensor's name), OUT_OF_MEMORY.
Result<Ref> read_tensor_objects(const shm::Frame& frame, const OpenTensor& open);
// The same over a copy of the frame's payload: nothing of it lies in a slot.
Result<Ref> copy_tensor_objects(PyTypeObject* area_type, const shm::Frame& frame);

// The tensor that a buffer (with format, shape and strides) is. Errors: REPLY_NOT_CONVERTIBLE,
// which names its dtype.
Result<Tensor> tensor_of(const Py_buffer& buffer);

// A dtype of ctx.empty(): by its name as numpy has it, or as the array protocol has it. Null
// with a Python exception.
std::optional<DType> dtype_of_object(PyObject* dtype);
// Its shape: an int, or a sequence of them. Null with a Python exception.
std::optional<Shape> shape_of_object(PyObject* shape);

}  // namespace slotring::python

#endif  // SLOTRING_PYTHON_SIDE_NATIVE_TENSOR_OBJECTS_H_
