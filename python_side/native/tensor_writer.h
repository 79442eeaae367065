// Turns the arrays that a handler returned into a payload of tensors. With the GIL held.
//
// An array that lies in the reply already (reply_arrays.h) stays there, with whatever strides it
// has; any other is copied once, to C order, behind those. Where none does, or where the values
// beside them do not fit before the arrays, all are copied.

#ifndef SLOTRING_PYTHON_SIDE_NATIVE_TENSOR_WRITER_H_
#define SLOTRING_PYTHON_SIDE_NATIVE_TENSOR_WRITER_H_

#include <span>
#include <string>

#include "python_side/native/reply.h"

namespace slotring::python {

// Writes these objects, which have buffers, as tensors with these names (none: without names), and
// `value`, a FlexBuffers map or nothing, beside them. Errors: REPLY_NOT_CONVERTIBLE, those of
// sink.space(), PAYLOAD_TOO_LARGE (too many), VIEW_ESCAPED.
Result<WrittenReply> write_tensors(PayloadSink& sink, std::span<PyObject* const> arrays,
                                   std::span<const std::string> names,
                                   std::span<const std::byte> value);

}  // namespace slotring::python

#endif  // SLOTRING_PYTHON_SIDE_NATIVE_TENSOR_WRITER_H_
