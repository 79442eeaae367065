// Tensors: n-dimensional arrays of numbers, as numpy and torch have them, that somebody else owns.
//
//     std::vector<float> pixels = ...;
//     Tensor image = Tensor::of(std::span(pixels), {h, w, 3}).value();
//     auto reply = client.call("resize", image);                      // copied once, into the slot
//     auto small = reply->tensor().value().view<const float, 3>().value();   // in place
//     use(small(i, j, k), small.extent(0));
//
// A Tensor borrows: what it is a view of, its name included, stays its owner's. One that is read
// from a slot begins at a multiple of kTensorAlignment, unless its sender sent a part of a larger
// one in place; its elements are aligned for their type in any case.
//
// Strides are in bytes, one a dimension, and may be negative (Python sends `a[::-1]` in place) or
// apart (a slice). data() is where the element of all indices 0 stands. A tensor with an extent of
// 0 has no elements; one without dimensions has exactly one.
//
// Bytes of a reply are its worker's word: a kBool tensor may hold others than 0 and 1, so read it
// as std::uint8_t where the worker is not trusted.

#ifndef SLOTRING_TENSOR_H_
#define SLOTRING_TENSOR_H_

#include <algorithm>
#include <array>
#include <cassert>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "slotring/result.h"

namespace slotring {

inline constexpr std::size_t kMaxDimensions = 32;
inline constexpr std::size_t kTensorAlignment = 64;

enum class DType : std::uint8_t {
  kBool,
  kInt8,
  kInt16,
  kInt32,
  kInt64,
  kUint8,
  kUint16,
  kUint32,
  kUint64,
  kFloat16,
  kFloat32,
  kFloat64,
  kComplex64,
  kComplex128,
};

// An IEEE 754 half, of which C++20 knows nothing but its bits.
struct Float16 {
  std::uint16_t bits;
};

namespace internal {
struct DTypeFacts {
  std::string_view name;  // of the array protocol
  std::uint8_t bytes;
  std::uint8_t alignment;
};
inline constexpr std::array<DTypeFacts, 14> kDTypes{{{"|b1", 1, 1},
                                                     {"|i1", 1, 1},
                                                     {"<i2", 2, 2},
                                                     {"<i4", 4, 4},
                                                     {"<i8", 8, 8},
                                                     {"|u1", 1, 1},
                                                     {"<u2", 2, 2},
                                                     {"<u4", 4, 4},
                                                     {"<u8", 8, 8},
                                                     {"<f2", 2, 2},
                                                     {"<f4", 4, 4},
                                                     {"<f8", 8, 8},
                                                     {"<c8", 8, 4},
                                                     {"<c16", 16, 8}}};
}  // namespace internal

// As numpy's array protocol has it, e.g. "<f4".
constexpr std::string_view to_string(DType dtype) {
  return internal::kDTypes[static_cast<std::size_t>(dtype)].name;
}
constexpr std::size_t bytes_of(DType dtype) {
  return internal::kDTypes[static_cast<std::size_t>(dtype)].bytes;
}
constexpr std::size_t alignment_of(DType dtype) {
  return internal::kDTypes[static_cast<std::size_t>(dtype)].alignment;
}
// Nothing for what is no DType.
constexpr std::optional<DType> dtype_named(std::string_view name) {
  for (std::size_t i = 0; i < internal::kDTypes.size(); ++i) {
    if (internal::kDTypes[i].name == name) return static_cast<DType>(i);
  }
  return std::nullopt;
}

// The DType of a C++ type; std::byte counts as std::uint8_t.
template <class T>
constexpr DType dtype_of() {
  using U = std::remove_cv_t<T>;
  constexpr auto kAt = [](DType first) {  // the one of T's size
    constexpr int kLog2 = sizeof(U) == 1 ? 0 : sizeof(U) == 2 ? 1 : sizeof(U) == 4 ? 2 : 3;
    return static_cast<DType>(static_cast<int>(first) + kLog2);
  };
  if constexpr (std::is_same_v<U, bool>) {
    return DType::kBool;
  } else if constexpr (std::is_same_v<U, std::byte>) {
    return DType::kUint8;
  } else if constexpr (std::is_integral_v<U>) {
    return kAt(std::is_signed_v<U> ? DType::kInt8 : DType::kUint8);
  } else if constexpr (std::is_same_v<U, Float16>) {
    return DType::kFloat16;
  } else if constexpr (std::is_same_v<U, float>) {
    return DType::kFloat32;
  } else if constexpr (std::is_same_v<U, double>) {
    return DType::kFloat64;
  } else if constexpr (std::is_same_v<U, std::complex<float>>) {
    return DType::kComplex64;
  } else {
    static_assert(std::is_same_v<U, std::complex<double>>, "no dtype for this type");
    return DType::kComplex128;
  }
}

// Whether elements of `dtype` may be read as T: also halves by their bits, and bools by their byte.
template <class T>
constexpr bool reads_as(DType dtype) {
  constexpr DType kOwn = dtype_of<T>();
  return dtype == kOwn || (kOwn == DType::kUint16 && dtype == DType::kFloat16) ||
         (kOwn == DType::kUint8 && dtype == DType::kBool);
}

// The extents of a tensor, the slowest first: `{h, w, 3}`.
class Shape {
 public:
  Shape() = default;  // without dimensions
  template <class... Extents>
  requires(sizeof...(Extents) >= 1 && (std::is_integral_v<Extents> && ...))
      Shape(Extents... extents)  // a negative one is refused with the tensor
      : extents_{static_cast<std::uint64_t>(extents)...}, dimensions_(sizeof...(Extents)) {
    static_assert(sizeof...(Extents) <= kMaxDimensions);
  }
  // Of more than kMaxDimensions it is no valid shape.
  Shape(std::span<const std::uint64_t> extents) : dimensions_(extents.size()) {
    std::copy_n(extents.begin(), std::min(extents.size(), kMaxDimensions), extents_.begin());
  }

  std::size_t dimensions() const { return dimensions_; }
  // REQUIRES: at most kMaxDimensions.
  std::span<const std::uint64_t> extents() const {
    assert(dimensions_ <= kMaxDimensions);
    return std::span(extents_).first(dimensions_);
  }
  // How many bytes its elements take. Errors: INVALID_ARGUMENT (more than 2^63, or too many
  // dimensions).
  Result<std::uint64_t> bytes(DType dtype) const;
  // As Python has it: (480, 640, 3).
  std::string to_string() const;

 private:
  std::array<std::uint64_t, kMaxDimensions> extents_{};
  std::size_t dimensions_ = 0;
};

// Elements of T, by N indices: as std::mdspan is, with any strides.
template <class T, std::size_t N>
class TensorView {
 public:
  TensorView(T* data, std::span<const std::uint64_t> extents, std::span<const std::int64_t> strides)
      : data_(reinterpret_cast<Byte*>(data)) {
    assert(extents.size() == N && strides.size() == N);
    std::copy_n(extents.begin(), N, extents_.begin());
    std::copy_n(strides.begin(), N, strides_.begin());
  }

  // REQUIRES: each index is below its extent.
  template <class... Indices>
  requires(sizeof...(Indices) == N && (std::is_integral_v<Indices> && ...)) T& operator()(
      Indices... indices) const {
    Byte* at = data_;
    [[maybe_unused]] std::size_t d = 0;
    (
        [&] {
          assert(static_cast<std::uint64_t>(indices) < extents_[d]);
          at += static_cast<std::int64_t>(indices) * strides_[d++];
        }(),
        ...);
    return *reinterpret_cast<T*>(at);
  }

  static constexpr std::size_t rank() { return N; }
  std::uint64_t extent(std::size_t dimension) const { return extents_[dimension]; }
  const std::array<std::uint64_t, N>& extents() const { return extents_; }
  std::int64_t stride(std::size_t dimension) const { return strides_[dimension]; }  // in bytes

 private:
  using Byte = std::conditional_t<std::is_const_v<T>, const std::byte, std::byte>;

  Byte* data_;
  std::array<std::uint64_t, N> extents_;
  std::array<std::int64_t, N> strides_;
};

// What a tensor is, but for where its elements stand.
class TensorForm {
 public:
  DType dtype() const { return dtype_; }
  std::size_t dimensions() const { return dimensions_; }
  std::span<const std::uint64_t> shape() const { return std::span(shape_).first(dimensions_); }
  std::span<const std::int64_t> strides() const { return std::span(strides_).first(dimensions_); }
  std::string_view name() const { return name_; }  // empty for none
  std::uint64_t elements() const;
  std::uint64_t bytes() const { return elements() * bytes_of(dtype_); }
  // Whether the elements stand one behind the other, the last index running fastest (C order).
  bool contiguous() const;

 protected:
  TensorForm() = default;
  // C order. REQUIRES: at most kMaxDimensions.
  TensorForm(DType dtype, const Shape& shape, std::string_view name);
  TensorForm(DType dtype, const Shape& shape, std::span<const std::int64_t> strides,
             std::string_view name);
  Error mismatch(DType wanted) const;
  Error mismatch(std::size_t wanted_dimensions) const;
  Error not_contiguous() const;
  static Error wrong_count(const Shape& shape, std::size_t elements);

 private:
  DType dtype_ = DType::kUint8;
  std::size_t dimensions_ = 0;
  std::array<std::uint64_t, kMaxDimensions> shape_{};
  std::array<std::int64_t, kMaxDimensions> strides_{};
  std::string_view name_;
};

// Byte: std::byte for elements that may be written, const std::byte else.
template <class Byte>
class BasicTensor : public TensorForm {
 public:
  // The elements as one dimension.
  template <class T>
  requires(std::is_const_v<Byte> || !std::is_const_v<T>)
      BasicTensor(std::span<T> elements, std::string_view name = {})
      : TensorForm(dtype_of<T>(), Shape(elements.size()), name),
        data_(reinterpret_cast<Byte*>(elements.data())) {}

  // The elements in C order. Errors: INVALID_ARGUMENT when they are not as many as `shape` says.
  template <class T>
  requires(std::is_const_v<Byte> || !std::is_const_v<T>) static Result<BasicTensor> of(
      std::span<T> elements, const Shape& shape, std::string_view name = {}) {
    const Result<std::uint64_t> bytes = shape.bytes(dtype_of<T>());
    if (!bytes) return bytes.error();
    if (*bytes != elements.size_bytes()) return wrong_count(shape, elements.size());
    return BasicTensor(dtype_of<T>(), reinterpret_cast<Byte*>(elements.data()), shape, name);
  }

  // In C order at `data`, or with these strides. REQUIRES: all of it is there, and aligned; at most
  // kMaxDimensions.
  BasicTensor(DType dtype, Byte* data, const Shape& shape, std::string_view name = {})
      : TensorForm(dtype, shape, name), data_(data) {}
  BasicTensor(DType dtype, Byte* data, const Shape& shape, std::span<const std::int64_t> strides,
              std::string_view name = {})
      : TensorForm(dtype, shape, strides, name), data_(data) {}

  operator BasicTensor<const std::byte>() const requires(!std::is_const_v<Byte>) {
    return {dtype(), data_, shape(), strides(), name()};
  }

  Byte* data() const { return data_; }

  // All elements in C order. Errors: INVALID_ARGUMENT, with what differs, when they are no T
  // (reads_as()) or not contiguous.
  template <class T>
  requires(!std::is_const_v<Byte> || std::is_const_v<T>) Result<std::span<T>> span()
  const {
    if (!reads_as<T>(dtype())) return mismatch(dtype_of<T>());
    if (!contiguous()) return not_contiguous();
    return std::span<T>(reinterpret_cast<T*>(data_), static_cast<std::size_t>(elements()));
  }

  // Errors: INVALID_ARGUMENT when the elements are no T, or the dimensions not N.
  template <class T, std::size_t N>
  requires(!std::is_const_v<Byte> || std::is_const_v<T>) Result<TensorView<T, N>> view()
  const {
    if (!reads_as<T>(dtype())) return mismatch(dtype_of<T>());
    if (dimensions() != N) return mismatch(N);
    return TensorView<T, N>(reinterpret_cast<T*>(data_), shape(), strides());
  }

 private:
  Byte* data_;
};

using Tensor = BasicTensor<const std::byte>;
using MutableTensor = BasicTensor<std::byte>;

// Copies the elements of `from` to `to`, in C order. REQUIRES: from.bytes() there.
void copy_elements(const Tensor& from, std::byte* to);

}  // namespace slotring

#endif  // SLOTRING_TENSOR_H_
