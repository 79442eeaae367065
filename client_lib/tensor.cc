#include "slotring/tensor.h"

#include <cstring>

namespace slotring {

namespace {

std::string quoted(std::string_view name) {
  return name.empty() ? "the tensor" : "the tensor '" + std::string(name) + "'";
}

void set_c_order(DType dtype, std::span<const std::uint64_t> shape,
                 std::span<std::int64_t> strides) {
  std::uint64_t stride = bytes_of(dtype);
  for (std::size_t d = shape.size(); d-- > 0;) {
    strides[d] = static_cast<std::int64_t>(stride);
    stride *= std::max<std::uint64_t>(shape[d], 1);
  }
}

void copy_from(const std::byte* from, const Tensor& tensor, std::size_t dimension, std::byte*& to) {
  const std::size_t element = bytes_of(tensor.dtype());
  if (dimension == tensor.dimensions()) {
    std::memcpy(to, from, element);
    to += element;
    return;
  }
  const std::uint64_t extent = tensor.shape()[dimension];
  const std::int64_t stride = tensor.strides()[dimension];
  if (dimension + 1 == tensor.dimensions() && stride == static_cast<std::int64_t>(element)) {
    std::memcpy(to, from, extent * element);
    to += extent * element;
    return;
  }
  for (std::uint64_t i = 0; i < extent; ++i, from += stride) {
    copy_from(from, tensor, dimension + 1, to);
  }
}

}  // namespace

Result<std::uint64_t> Shape::bytes(DType dtype) const {
  if (dimensions_ > kMaxDimensions) {
    return Error{ErrorCode::kInvalidArgument,
                 "a tensor has at most " + std::to_string(kMaxDimensions) + " dimensions, not " +
                     std::to_string(dimensions_)};
  }
  // Also where an extent is 0 the others are bounded: strides are made of them.
  std::int64_t bytes = static_cast<std::int64_t>(bytes_of(dtype));
  bool none = false;
  for (const std::uint64_t extent : extents()) {
    none = none || extent == 0;
    if (__builtin_mul_overflow(bytes, std::max<std::uint64_t>(extent, 1), &bytes)) {
      return Error{ErrorCode::kInvalidArgument,
                   "a tensor of shape " + to_string() + " has more than 2^63 bytes"};
    }
  }
  return none ? std::uint64_t{0} : static_cast<std::uint64_t>(bytes);
}

std::string Shape::to_string() const {
  std::string text = "(";
  const std::size_t shown = std::min(dimensions_, kMaxDimensions);
  for (std::size_t d = 0; d < shown; ++d) {
    if (d > 0) text += ", ";
    text += std::to_string(extents_[d]);
  }
  return text + (dimensions_ > shown ? ", ...)" : dimensions_ == 1 ? ",)" : ")");
}

TensorForm::TensorForm(DType dtype, const Shape& shape, std::string_view name)
    : dtype_(dtype), dimensions_(shape.dimensions()), name_(name) {
  std::copy_n(shape.extents().begin(), dimensions_, shape_.begin());
  set_c_order(dtype_, this->shape(), strides_);
}

TensorForm::TensorForm(DType dtype, const Shape& shape, std::span<const std::int64_t> strides,
                       std::string_view name)
    : dtype_(dtype), dimensions_(shape.dimensions()), name_(name) {
  assert(strides.size() == dimensions_);
  std::copy_n(shape.extents().begin(), dimensions_, shape_.begin());
  std::copy_n(strides.begin(), dimensions_, strides_.begin());
}

std::uint64_t TensorForm::elements() const {
  std::uint64_t elements = 1;
  for (const std::uint64_t extent : shape()) elements *= extent;
  return elements;
}

bool TensorForm::contiguous() const {
  std::array<std::int64_t, kMaxDimensions> c_order;
  set_c_order(dtype_, shape(), c_order);
  bool same = true;
  for (std::size_t d = 0; d < dimensions_; ++d) {
    if (shape_[d] == 0) return true;
    if (shape_[d] > 1 && strides_[d] != c_order[d]) same = false;
  }
  return same;
}

Error TensorForm::mismatch(DType wanted) const {
  return Error{ErrorCode::kInvalidArgument, quoted(name_) + " has elements of " +
                                                std::string(to_string(dtype_)) + ", not of " +
                                                std::string(to_string(wanted))};
}

Error TensorForm::mismatch(std::size_t wanted_dimensions) const {
  return Error{ErrorCode::kInvalidArgument, quoted(name_) + " has the shape " +
                                                Shape(shape()).to_string() + ", not " +
                                                std::to_string(wanted_dimensions) + " dimensions"};
}

Error TensorForm::not_contiguous() const {
  std::string strides;
  for (const std::int64_t stride : this->strides()) strides += ' ' + std::to_string(stride);
  return Error{ErrorCode::kInvalidArgument, quoted(name_) + " of shape " +
                                                Shape(shape()).to_string() +
                                                " is not contiguous (its strides in bytes are" +
                                                strides + "): use view(), or copy_elements()"};
}

Error TensorForm::wrong_count(const Shape& shape, std::size_t elements) {
  const std::uint64_t wanted = shape.bytes(DType::kUint8).value();
  return Error{ErrorCode::kInvalidArgument,
               "a tensor of shape " + shape.to_string() + " has " + std::to_string(wanted) +
                   " elements, and its memory " + std::to_string(elements) +
                   ": give a shape of as many, or as much of the memory as the shape takes"};
}

void copy_elements(const Tensor& from, std::byte* to) {
  if (from.elements() == 0) return;
  if (from.contiguous()) {
    std::memcpy(to, from.data(), from.bytes());
  } else {
    copy_from(from.data(), from, 0, to);
  }
}

}  // namespace slotring
