#include "python_side/native/argument.h"

#include <new>
#include <string>
#include <vector>

#include "python_side/native/bytes.h"
#include "python_side/native/error.h"
#include "python_side/native/tensor_objects.h"
#include "python_side/native/value.h"

namespace slotring::python {

Error kind_not_taken(wire::PayloadKind kind) {
  return Error{ErrorCode::kInvalidArgument,
               "this worker takes no payloads of kind " + std::to_string(static_cast<int>(kind))};
}

Result<Ref> private_argument(const shm::Frame& frame, PyTypeObject* area_type) {
  if (frame.head.kind == wire::PayloadKind::Tensors) return copy_tensor_objects(area_type, frame);
  if (frame.head.kind == wire::PayloadKind::Table) {
    return Error{ErrorCode::kInvalidArgument,
                 "a FlatBuffers table came where the handler names no type of table: items of "
                 "streams, and what tools and calls made by them take and give, are bytes, values "
                 "or tensors in Python"};
  }
  return private_argument(frame.head.kind, frame.payload);
}

Result<Ref> private_argument(wire::PayloadKind kind, std::span<const std::byte> payload) {
  switch (kind) {
    case wire::PayloadKind::Empty:
      return Ref::share(Py_None);
    case wire::PayloadKind::Bytes: {
      const Ref bytes = copy_to_bytes(payload);
      Ref view = bytes ? Ref::steal(PyMemoryView_FromObject(bytes.get())) : Ref();
      if (!view) return take_exception(ErrorCode::kInternal);
      return view;
    }
    case wire::PayloadKind::Value:
      try {
        const std::vector<std::byte> copy(payload.begin(), payload.end());
        return read_value(copy);
      } catch (const std::bad_alloc&) {
        return Error{ErrorCode::kOutOfMemory, "no memory to convert a payload"};
      }
    default:
      return kind_not_taken(kind);
  }
}

}  // namespace slotring::python
