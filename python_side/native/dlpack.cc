#include "python_side/native/dlpack.h"

#include <array>
#include <cstdint>
#include <memory>

#include "python_side/native/buffer_view.h"
#include "python_side/native/tensor_objects.h"

namespace slotring::python {

namespace {

// The stable structures of dlpack.h, in which nothing has changed since its version 0.2.
struct DLDataType {
  std::uint8_t code;
  std::uint8_t bits;
  std::uint16_t lanes;
};
struct DLTensor {
  void* data;
  std::int32_t device_type;
  std::int32_t device_id;
  std::int32_t ndim;
  DLDataType dtype;
  std::int64_t* shape;
  std::int64_t* strides;  // in elements
  std::uint64_t byte_offset;
};
struct DLManagedTensor {
  DLTensor tensor;
  void* manager;
  void (*deleter)(DLManagedTensor*);
};

constexpr std::int32_t kCpu = 1;
constexpr char kUnused[] = "dltensor";  // its consumer renames the capsule

DLDataType type_of(DType dtype) {
  constexpr std::uint8_t kInt = 0, kUint = 1, kFloat = 2, kComplex = 5, kBool = 6;
  std::uint8_t code = kComplex;
  if (dtype == DType::kBool) {
    code = kBool;
  } else if (dtype <= DType::kInt64) {
    code = kInt;
  } else if (dtype <= DType::kUint64) {
    code = kUint;
  } else if (dtype <= DType::kFloat64) {
    code = kFloat;
  }
  return {code, static_cast<std::uint8_t>(bytes_of(dtype) * 8), 1};
}

struct Exported {
  explicit Exported(PyObject* object) : buffer(object, PyBUF_FULL_RO) {}

  BufferView buffer;
  std::array<std::int64_t, kMaxDimensions> shape{};
  std::array<std::int64_t, kMaxDimensions> strides{};
  DLManagedTensor managed{};
};

// On any thread, with or without the GIL.
void delete_exported(DLManagedTensor* managed) {
  // The interpreter has ended, and with it all that would be given back.
  if (Py_IsInitialized() == 0) return;
  const PyGILState_STATE state = PyGILState_Ensure();
  delete static_cast<Exported*>(managed->manager);
  PyGILState_Release(state);
}

void destroy_capsule(PyObject* capsule) {
  if (PyCapsule_IsValid(capsule, kUnused) == 0) return;  // its consumer deletes the tensor
  auto* managed = static_cast<DLManagedTensor*>(PyCapsule_GetPointer(capsule, kUnused));
  managed->deleter(managed);
}

// False with a Python exception.
bool describe(Exported& exported) {
  const Result<Tensor> tensor = tensor_of(*exported.buffer);
  if (!tensor) {
    PyErr_SetString(PyExc_BufferError, tensor.error().message.c_str());
    return false;
  }
  const auto element = static_cast<std::int64_t>(bytes_of(tensor->dtype()));
  for (std::size_t d = 0; d < tensor->dimensions(); ++d) {
    exported.shape[d] = static_cast<std::int64_t>(tensor->shape()[d]);
    exported.strides[d] = tensor->strides()[d] / element;
    if (tensor->strides()[d] % element != 0) {
      PyErr_SetString(PyExc_BufferError, "DLPack has no strides of parts of elements");
      return false;
    }
  }
  exported.managed = {
      {exported.buffer->buf, kCpu, 0, static_cast<std::int32_t>(tensor->dimensions()),
       type_of(tensor->dtype()), exported.shape.data(), exported.strides.data(), 0},
      &exported,
      delete_exported};
  return true;
}

}  // namespace

PyObject* dlpack_capsule(PyObject* /*module*/, PyObject* object) {
  auto exported = std::make_unique<Exported>(object);
  if (!exported->buffer.held() || !describe(*exported)) return nullptr;
  PyObject* capsule = PyCapsule_New(&exported->managed, kUnused, destroy_capsule);
  if (capsule != nullptr) (void)exported.release();  // to its consumer, or destroy_capsule()
  return capsule;
}

}  // namespace slotring::python
