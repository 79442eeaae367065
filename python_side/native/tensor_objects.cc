#include "python_side/native/tensor_objects.h"

#include <array>
#include <cstring>
#include <new>
#include <span>
#include <string>
#include <vector>

#include "client_lib/shm/tensors.h"
#include "python_side/native/bytes.h"
#include "python_side/native/error.h"
#include "python_side/native/value.h"
#include "python_side/native/view.h"

namespace slotring::python {

namespace {

Result<Ref> beside(const shm::Frame& frame, std::uint64_t value_bytes) {
  if (value_bytes == 0) return Ref::steal(PyDict_New());
  const auto value = frame.payload.first(static_cast<std::size_t>(value_bytes));
  const std::vector<std::byte> copy(value.begin(), value.end());
  Result<Ref> read = read_value(copy);
  if (read && !PyDict_Check(read->get())) {
    return Error{ErrorCode::kInvalidArgument, "the value beside named tensors is no map"};
  }
  return read;
}

Result<Ref> as_list(std::span<const Ref> arrays) {
  Ref list = Ref::steal(PyList_New(0));
  for (const Ref& array : arrays) {
    if (!list || PyList_Append(list.get(), array.get()) != 0) {
      return take_exception(ErrorCode::kOutOfMemory);
    }
  }
  return list;
}

Result<Ref> as_dict(Ref dict, std::span<const Tensor> tensors, std::span<const Ref> arrays) {
  if (!dict) return take_exception(ErrorCode::kOutOfMemory);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const Ref name = str_of(tensors[i].name());
    if (!name) return take_exception(ErrorCode::kOutOfMemory);
    const int taken = PyDict_Contains(dict.get(), name.get());
    if (taken > 0) {
      return Error{ErrorCode::kInvalidArgument, "the payload has a tensor and a value named '" +
                                                    std::string(tensors[i].name()) + "'"};
    }
    if (taken < 0 || PyDict_SetItem(dict.get(), name.get(), arrays[i].get()) != 0) {
      return take_exception(ErrorCode::kOutOfMemory);
    }
  }
  return dict;
}

// Numbers of one kind, by their size.
std::optional<DType> sized(DType first, std::span<const Py_ssize_t> sizes, Py_ssize_t bytes) {
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] == bytes) return static_cast<DType>(static_cast<std::size_t>(first) + i);
  }
  return std::nullopt;
}

std::optional<DType> dtype_of_format(const char* format, Py_ssize_t bytes) {
  static constexpr std::array<Py_ssize_t, 4> kIntegers{1, 2, 4, 8};
  static constexpr std::array<Py_ssize_t, 3> kFloats{2, 4, 8};
  static constexpr std::array<Py_ssize_t, 2> kComplexes{8, 16};
  const std::string_view code = format == nullptr ? "B" : format + std::strspn(format, "<=@^");
  const auto is_one_of = [&](const char* codes) {
    return code.size() == 1 && std::strchr(codes, code[0]) != nullptr;
  };
  if (code == "?") return DType::kBool;
  if (is_one_of("bhilqn")) return sized(DType::kInt8, kIntegers, bytes);
  if (is_one_of("BHILQN")) return sized(DType::kUint8, kIntegers, bytes);
  if (is_one_of("efd")) return sized(DType::kFloat16, kFloats, bytes);
  if (code == "Zf" || code == "Zd") return sized(DType::kComplex64, kComplexes, bytes);
  return std::nullopt;
}

}  // namespace

Ref call_tensors(const char* name, PyObject* argument) {
  const Ref module = Ref::steal(PyImport_ImportModule("slotring.tensors"));
  const Ref function = module ? Ref::steal(PyObject_GetAttrString(module.get(), name)) : Ref();
  if (!function) return Ref();
  return Ref::steal(PyObject_CallFunctionObjArgs(function.get(), argument, nullptr));
}

Result<Ref> read_tensor_objects(const shm::Frame& frame, const OpenTensor& open) {
  try {
    std::vector<Tensor> tensors;
    const Result<std::uint64_t> value_bytes = shm::read_tensors(frame, tensors);
    if (!value_bytes) return value_bytes.error();
    std::vector<Ref> arrays;
    for (const Tensor& tensor : tensors) {
      const Ref view = open(tensor);
      arrays.push_back(view ? array_over(view.get()) : Ref());
      if (!arrays.back()) return take_exception(ErrorCode::kInternal);
    }
    if (!tensors.front().name().empty()) {
      Result<Ref> dict = beside(frame, *value_bytes);
      return dict ? as_dict(*std::move(dict), tensors, arrays) : std::move(dict);
    }
    return arrays.size() == 1 ? Result<Ref>(arrays.front()) : as_list(arrays);
  } catch (const std::bad_alloc&) {
    return Error{ErrorCode::kOutOfMemory, "no memory to describe the payload's tensors"};
  }
}

Result<Ref> copy_tensor_objects(PyTypeObject* area_type, const shm::Frame& frame) {
  const Ref copy = copy_to_bytes(frame.payload);
  const Ref area = copy ? ViewedArea::of(area_type, copy.get()) : Ref();
  if (!area) return take_exception(ErrorCode::kOutOfMemory);
  shm::Frame copied = frame;
  copied.payload = bytes_in(copy.get());
  return read_tensor_objects(copied, [&](const Tensor& tensor) {
    return ViewedArea::open(reinterpret_cast<Area*>(area.get()), tensor, /*writable=*/false);
  });
}

Result<Tensor> tensor_of(const Py_buffer& buffer) {
  const std::optional<DType> dtype = dtype_of_format(buffer.format, buffer.itemsize);
  if (!dtype) {
    return Error{
        ErrorCode::kReplyNotConvertible,
        "an array whose items have the format '" + std::string(buffer.format) + "' is no tensor"};
  }
  const auto dimensions = static_cast<std::size_t>(buffer.ndim);
  if (dimensions > kMaxDimensions) {
    return Error{ErrorCode::kReplyNotConvertible, "an array of " + std::to_string(dimensions) +
                                                      " dimensions; a tensor has at most " +
                                                      std::to_string(kMaxDimensions)};
  }
  std::array<std::uint64_t, kMaxDimensions> shape{};
  std::array<std::int64_t, kMaxDimensions> strides{};
  for (std::size_t d = 0; d < dimensions; ++d) {
    shape[d] = static_cast<std::uint64_t>(buffer.shape[d]);
    strides[d] = buffer.strides[d];
  }
  const Shape extents(std::span<const std::uint64_t>(shape).first(dimensions));
  return Tensor(*dtype, static_cast<const std::byte*>(buffer.buf), extents,
                std::span<const std::int64_t>(strides).first(dimensions));
}

std::optional<DType> dtype_of_object(PyObject* dtype) {
  static constexpr std::array<std::string_view, 14> kNames{
      "bool",   "int8",   "int16",   "int32",   "int64",   "uint8",     "uint16",
      "uint32", "uint64", "float16", "float32", "float64", "complex64", "complex128"};
  if (PyUnicode_Check(dtype)) {
    const std::string name = text_of(dtype);
    for (std::size_t i = 0; i < kNames.size(); ++i) {
      if (kNames[i] == name) return static_cast<DType>(i);
    }
  }
  const Ref name = call_tensors("dtype_name", dtype);
  if (!name) return std::nullopt;
  const std::optional<DType> known = dtype_named(text_of(name.get()));
  if (!known) {
    const std::string why = "a tensor has no elements of " + text_of(name.get()) +
                            ": choose bool, int8 to int64, uint8 to uint64, float16, float32, "
                            "float64, complex64 or complex128";
    PyErr_SetString(PyExc_TypeError, why.c_str());
  }
  return known;
}

std::optional<Shape> shape_of_object(PyObject* shape) {
  std::vector<std::uint64_t> extents;
  const auto add = [&](PyObject* extent) {
    const Ref index = Ref::steal(PyNumber_Index(extent));
    const long long value = index ? PyLong_AsLongLong(index.get()) : -1;
    if (PyErr_Occurred() != nullptr) return false;
    if (value < 0) PyErr_SetString(PyExc_ValueError, "an extent of a shape is below 0");
    extents.push_back(static_cast<std::uint64_t>(value));
    return value >= 0;
  };
  if (PyIndex_Check(shape) != 0) {
    if (!add(shape)) return std::nullopt;
    return Shape(std::span<const std::uint64_t>(extents));
  }
  const Ref list = Ref::steal(PySequence_List(shape));
  if (!list) return std::nullopt;
  for (Py_ssize_t i = 0; i < PyList_Size(list.get()); ++i) {
    if (!add(PyList_GetItem(list.get(), i))) return std::nullopt;
  }
  return Shape(std::span<const std::uint64_t>(extents));
}

}  // namespace slotring::python
