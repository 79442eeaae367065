#include <cstring>
#include <new>

#include "python_side/native/buffer_view.h"
#include "python_side/native/error.h"
#include "python_side/native/value.h"

namespace slotring::python {

namespace {

constexpr std::size_t kMaxWhereBytes = 120;
constexpr char kAllowed[] =
    "None, bool, int, float, str, bytes, list, tuple, dict, numpy scalars; arrays, by themselves "
    "or "
    "as items of the list or dict that is returned; or, as the whole reply, any buffer";

}  // namespace

bool is_array(PyObject* object) {
  PyObject* type = as_object(Py_TYPE(object));
  return PyObject_HasAttrString(type, "__array_interface__") != 0 ||
         PyObject_HasAttrString(type, "__dlpack__") != 0;
}

bool holds_references(const char* format) {
  if (format == nullptr) return false;
  bool in_name = false;  // of a record's field, between colons
  for (const char* c = format; *c != '\0'; ++c) {
    if (*c == ':') in_name = !in_name;
    if (*c == 'O' && !in_name) return true;
  }
  return false;
}

Error ValueWriter::misfit(std::string why) const {
  return Error{ErrorCode::kReplyNotConvertible, std::move(why)};
}

Status ValueWriter::count(std::uint64_t bytes) {
  bytes_ += bytes;
  if (bytes_ <= most_bytes_) return Done{};
  return Error{ErrorCode::kPayloadTooLarge, "the reply's value takes more than the " +
                                                std::to_string(most_bytes_) +
                                                " bytes that a slot of this pool takes"};
}

Result<std::span<const std::byte>> ValueWriter::write(PyObject* value, std::uint64_t most_bytes) {
  builder_.Clear();
  met_array_ = false;
  bytes_ = 0;
  most_bytes_ = most_bytes;
  where_.clear();
  try {
    if (Status written = put(value, 0); !written) {
      Error error = std::move(written).error();
      if (where_.size() > kMaxWhereBytes) where_ = where_.substr(0, kMaxWhereBytes) + "...";
      if (!where_.empty()) error.message = "in reply" + where_ + ": " + error.message;
      return error;
    }
    builder_.Finish();
  } catch (const std::bad_alloc&) {
    return Error{ErrorCode::kOutOfMemory, "no memory to convert the reply"};
  }
  return std::as_bytes(std::span(builder_.GetBuffer()));
}

Status ValueWriter::put(PyObject* value, int depth) {
  if (depth > kMaxValueDepth) {
    return misfit("nested deeper than " + std::to_string(kMaxValueDepth) +
                  " levels, or an object that contains itself");
  }
  if (Status counted = count(1); !counted) return counted;
  if (value == Py_None) {
    builder_.Null();
    return Done{};
  }
  if (value == Py_True || value == Py_False) {
    builder_.Bool(value == Py_True);
    return Done{};
  }
  const unsigned long flags = PyType_GetFlags(Py_TYPE(value));
  if ((flags & Py_TPFLAGS_LONG_SUBCLASS) != 0) return put_int(value);
  if ((flags & Py_TPFLAGS_UNICODE_SUBCLASS) != 0) return put_text(value);
  if ((flags & Py_TPFLAGS_DICT_SUBCLASS) != 0) return put_dict(value, depth);
  if ((flags & Py_TPFLAGS_LIST_SUBCLASS) != 0) return put_list(value, depth);
  if ((flags & Py_TPFLAGS_TUPLE_SUBCLASS) != 0) return put_tuple(value, depth);
  if (PyFloat_Check(value)) {
    builder_.Double(PyFloat_AsDouble(value));
    return Done{};
  }
  return put_other(value);
}

Status ValueWriter::put_int(PyObject* value) {
  int overflow = 0;
  const long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
  if (overflow == 0) {
    builder_.Int(number);
    return Done{};
  }
  const unsigned long long large =
      overflow > 0 ? PyLong_AsUnsignedLongLong(value) : static_cast<unsigned long long>(-1);
  if (overflow < 0 || PyErr_Occurred() != nullptr) {
    PyErr_Clear();
    return misfit("an int of more than 64 bits");
  }
  builder_.UInt(large);
  return Done{};
}

Status ValueWriter::put_text(PyObject* value) {
  Py_ssize_t bytes = 0;
  const char* utf8 = PyUnicode_AsUTF8AndSize(value, &bytes);
  if (utf8 == nullptr) return take_exception(ErrorCode::kReplyNotConvertible);
  if (Status counted = count(static_cast<std::uint64_t>(bytes)); !counted) return counted;
  builder_.String(utf8, static_cast<std::size_t>(bytes));
  return Done{};
}

Status ValueWriter::put_list(PyObject* list, int depth) {
  const std::size_t start = builder_.StartVector();
  // Its length is asked for each time: converting a numpy scalar may run code that changes the
  // list.
  for (Py_ssize_t i = 0; i < PyList_Size(list); ++i) {
    const Ref item = Ref::share(PyList_GetItem(list, i));
    if (Status written = put(item.get(), depth + 1); !written) {
      where_.insert(0, "[" + std::to_string(i) + "]");
      return written;
    }
  }
  builder_.EndVector(start, /*typed=*/false, /*fixed=*/false);
  return Done{};
}

Status ValueWriter::put_tuple(PyObject* tuple, int depth) {
  const std::size_t start = builder_.StartVector();
  const Py_ssize_t size = PyTuple_Size(tuple);
  for (Py_ssize_t i = 0; i < size; ++i) {
    if (Status written = put(PyTuple_GetItem(tuple, i), depth + 1); !written) {
      where_.insert(0, "[" + std::to_string(i) + "]");
      return written;
    }
  }
  builder_.EndVector(start, /*typed=*/false, /*fixed=*/false);
  return Done{};
}

Status ValueWriter::put_key(PyObject* key) {
  if (!PyUnicode_Check(key)) {
    return misfit("a dict key of type " + type_name_of(key) + "; keys must be str");
  }
  Py_ssize_t bytes = 0;
  const char* utf8 = PyUnicode_AsUTF8AndSize(key, &bytes);
  if (utf8 == nullptr) return take_exception(ErrorCode::kReplyNotConvertible);
  if (std::memchr(utf8, 0, static_cast<std::size_t>(bytes)) != nullptr) {
    return misfit("a dict key with a zero character in it");
  }
  if (Status counted = count(1); !counted) return counted;
  builder_.Key(utf8, static_cast<std::size_t>(bytes));
  return Done{};
}

Status ValueWriter::put_dict(PyObject* dict, int depth) {
  const std::size_t start = builder_.StartMap();
  Py_ssize_t position = 0;
  PyObject* next_key = nullptr;
  PyObject* next_item = nullptr;
  while (PyDict_Next(dict, &position, &next_key, &next_item) != 0) {
    const Ref key = Ref::share(next_key);
    const Ref item = Ref::share(next_item);
    if (Status written = put_key(key.get()); !written) return written;
    if (Status written = put(item.get(), depth + 1); !written) {
      where_.insert(0, "['" + text_of(key.get()) + "']");
      return written;
    }
  }
  builder_.EndMap(start);
  return Done{};
}

Status ValueWriter::put_other(PyObject* value) {
  if (PyObject_CheckBuffer(value) == 0) {
    met_array_ = is_array(value);
    return misfit("an object of type " + type_name_of(value) +
                  " cannot be sent (what can: " + kAllowed + ")");
  }
  const BufferView buffer(value, PyBUF_FULL_RO);
  if (!buffer.held()) {
    Error error = take_exception(ErrorCode::kReplyNotConvertible);
    met_array_ = is_array(value);
    return error;
  }
  if (buffer->ndim == 0) return put_scalar(value, buffer->format);
  // By type: some of numpy's scalars (dates) pass for bytes.
  const bool plain_bytes =
      (PyBytes_Check(value) || PyByteArray_Check(value) || PyMemoryView_Check(value)) &&
      buffer->ndim == 1 && buffer->itemsize == 1 && PyBuffer_IsContiguous(&*buffer, 'C') != 0;
  if (!plain_bytes) {
    met_array_ = is_array(value);
    return misfit("an object of type " + type_name_of(value) +
                  " deep inside a value would lose its shape and dtype: return it by itself, or "
                  "as an item of the dict that is returned, or use its tolist() or tobytes()");
  }
  const auto bytes = static_cast<std::uint64_t>(buffer->len);
  if (Status counted = count(bytes); !counted) return counted;
  builder_.Blob(buffer->buf, static_cast<std::size_t>(bytes));
  return Done{};
}

// One of numpy's scalars, or an array without dimensions.
Status ValueWriter::put_scalar(PyObject* value, const char* format) {
  const char* kind = format == nullptr ? "B" : format + std::strspn(format, "<>=@!^");
  const bool single = std::strlen(kind) == 1;
  if (single && *kind == '?') {
    const int truth = PyObject_IsTrue(value);
    if (truth < 0) return take_exception(ErrorCode::kReplyNotConvertible);
    builder_.Bool(truth != 0);
    return Done{};
  }
  if (single && std::strchr("bBhHiIlLqQnN", *kind) != nullptr) {
    const Ref number = Ref::steal(PyNumber_Index(value));
    if (!number) return take_exception(ErrorCode::kReplyNotConvertible);
    return put_int(number.get());
  }
  if (single && std::strchr("efdg", *kind) != nullptr) {
    const Ref number = Ref::steal(PyNumber_Float(value));
    if (!number) return take_exception(ErrorCode::kReplyNotConvertible);
    builder_.Double(PyFloat_AsDouble(number.get()));
    return Done{};
  }
  return misfit("a scalar of type " + type_name_of(value) + " is no bool, int or float");
}

}  // namespace slotring::python
