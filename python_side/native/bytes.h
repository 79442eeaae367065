// Bytes as Python objects, and the bytes of Python objects. With the GIL held.

#ifndef SLOTRING_PYTHON_SIDE_NATIVE_BYTES_H_
#define SLOTRING_PYTHON_SIDE_NATIVE_BYTES_H_

#include <cstddef>
#include <span>

#include "python_side/native/python_ref.h"

namespace slotring::python {

// A bytes object, a copy of `from`; null with a Python exception.
inline Ref copy_to_bytes(std::span<const std::byte> from) {
  return Ref::steal(PyBytes_FromStringAndSize(reinterpret_cast<const char*>(from.data()),
                                              static_cast<Py_ssize_t>(from.size())));
}

// What a bytes object holds, as long as it lives. REQUIRES: it is one.
inline std::span<const std::byte> bytes_in(PyObject* bytes) {
  return {reinterpret_cast<const std::byte*>(PyBytes_AsString(bytes)),
          static_cast<std::size_t>(PyBytes_Size(bytes))};
}

// What a contiguous buffer holds, until it is given back.
inline std::span<const std::byte> bytes_in(const Py_buffer& buffer) {
  return {static_cast<const std::byte*>(buffer.buf), static_cast<std::size_t>(buffer.len)};
}

}  // namespace slotring::python

#endif  // SLOTRING_PYTHON_SIDE_NATIVE_BYTES_H_
