// A payload as the Python object that a handler gets of it, in memory of its own: nothing of it
// lies in a slot. With the GIL held.
//
//     Empty -> None;   Bytes -> a read-only memoryview over bytes;   Value -> the value (value.h)
//     Tensors -> arrays (tensor_objects.h)

#ifndef SLOTRING_PYTHON_SIDE_NATIVE_ARGUMENT_H_
#define SLOTRING_PYTHON_SIDE_NATIVE_ARGUMENT_H_

#include <cstddef>
#include <span>

#include "client_lib/shm/frame.h"
#include "python_side/native/python_ref.h"
#include "schemas/frame_generated.h"
#include "slotring/result.h"

namespace slotring::python {

// `payload` may be in shared memory. Errors: BAD_FRAME, OUT_OF_MEMORY, INVALID_ARGUMENT (a kind
// that this worker does not take).
Result<Ref> private_argument(wire::PayloadKind kind, std::span<const std::byte> payload);

// The same of a frame, whose envelope describes tensors; their memory is of `area_type` (view.h).
// Errors: also those of read_tensor_objects().
Result<Ref> private_argument(const shm::Frame& frame, PyTypeObject* area_type);

Error kind_not_taken(wire::PayloadKind kind);

}  // namespace slotring::python

#endif  // SLOTRING_PYTHON_SIDE_NATIVE_ARGUMENT_H_
