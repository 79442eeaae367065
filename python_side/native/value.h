// JSON-like Python values as FlexBuffers, both ways, without Python code in between. With the GIL
// held.
//
//     None  bool  int (64 bits, signed or unsigned)  float  str  bytes  list, tuple  dict with str
//     keys
//
// numpy's scalars count as the int, float or bool that they hold; a tuple comes back as a list, and
// a map's keys come back in FlexBuffers' order, which is by bytes. Nesting is bounded by
// kMaxValueDepth.

#ifndef SLOTRING_PYTHON_SIDE_NATIVE_VALUE_H_
#define SLOTRING_PYTHON_SIDE_NATIVE_VALUE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "flatbuffers/flexbuffers.h"
#include "python_side/native/python_ref.h"
#include "slotring/result.h"

namespace slotring::python {

inline constexpr int kMaxValueDepth = 64;

// The value that `bytes` hold, read with every access checked: they may come from a hostile peer,
// but must be private memory that nobody changes meanwhile. (FlexBuffers' own verifier accepts keys
// without an end.) Errors: BAD_FRAME, and OUT_OF_MEMORY.
Result<Ref> read_value(std::span<const std::byte> bytes);

// Writes values, one at a time; keeps its buffer from one to the next.
// Whether an object is an array, as slotring/tensors.py has it, or one of numpy's scalars.
// REQUIRES: no exception is set.
bool is_array(PyObject* object);

class ValueWriter {
 public:
  // `value` as FlexBuffers; valid until the next write(). Errors: REPLY_NOT_CONVERTIBLE, which says
  // where in the value and why; PAYLOAD_TOO_LARGE, when it takes about `most_bytes` or more;
  // OUT_OF_MEMORY.
  Result<std::span<const std::byte>> write(PyObject* value, std::uint64_t most_bytes);
  // Whether the last one failed for an array, which is no value, but may be sent beside some
  // (reply.h).
  bool met_array() const { return met_array_; }

 private:
  Status put(PyObject* value, int depth);
  Status put_int(PyObject* value);
  Status put_text(PyObject* value);
  Status put_list(PyObject* list, int depth);
  Status put_tuple(PyObject* tuple, int depth);
  Status put_dict(PyObject* dict, int depth);
  Status put_key(PyObject* key);
  Status put_other(PyObject* value);
  Status put_scalar(PyObject* value, const char* format);
  Status count(std::uint64_t bytes);
  Error misfit(std::string why) const;

  flexbuffers::Builder builder_;
  bool met_array_ = false;
  std::uint64_t bytes_ = 0;  // at least what the value takes so far
  std::uint64_t most_bytes_ = 0;
  std::string where_;  // of an error, e.g. "['scores'][3]"
};

// Whether the items of a buffer with this format (PEP 3118) are references to Python objects, which
// mean nothing outside this process. Null stands for raw bytes.
bool holds_references(const char* format);

}  // namespace slotring::python

#endif  // SLOTRING_PYTHON_SIDE_NATIVE_VALUE_H_
