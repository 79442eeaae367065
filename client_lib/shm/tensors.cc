#include "client_lib/shm/tensors.h"

#include <algorithm>
#include <optional>

namespace slotring::shm {

namespace {

Error bad_tensor(std::size_t index, const char* what) {
  return Error{ErrorCode::kBadFrame,
               "the frame's tensor " + std::to_string(index) + ": " + std::string(what)};
}

// [low, high) of a payload, or of the offsets of a tensor's elements.
struct Extent {
  std::int64_t low;
  std::int64_t high;
};

// Where the elements stand relative to the first. Nothing on overflow. REQUIRES: no extent is 0.
std::optional<Extent> reach_of(DType dtype, std::span<const std::uint64_t> shape,
                               std::span<const std::int64_t> strides) {
  Extent reach{0, static_cast<std::int64_t>(bytes_of(dtype))};
  for (std::size_t d = 0; d < shape.size(); ++d) {
    std::int64_t last = 0;
    std::int64_t& end = strides[d] < 0 ? reach.low : reach.high;
    if (__builtin_mul_overflow(static_cast<std::int64_t>(shape[d] - 1), strides[d], &last) ||
        __builtin_add_overflow(end, last, &end)) {
      return std::nullopt;
    }
  }
  return reach;
}

// The strides that a tensor is given: C order where they are absent or have no effect.
const char* settle_strides(const wire::Tensor& said, DType dtype, const Shape& shape,
                           std::array<std::int64_t, kMaxDimensions>& strides) {
  const Tensor c_order(dtype, nullptr, shape);
  std::copy_n(c_order.strides().begin(), shape.dimensions(), strides.begin());
  if (said.strides() == nullptr) return nullptr;
  if (said.strides()->size() != shape.dimensions()) return "has not a stride a dimension";
  for (std::size_t d = 0; d < shape.dimensions(); ++d) {
    if (shape.extents()[d] <= 1) continue;
    strides[d] = said.strides()->Get(static_cast<flatbuffers::uoffset_t>(d));
    if (strides[d] % static_cast<std::int64_t>(alignment_of(dtype)) != 0) {
      return "has strides that do not suit its dtype";
    }
  }
  return nullptr;
}

Result<Tensor> read_tensor(const wire::Tensor& said, std::size_t index,
                           std::span<const std::byte> payload, std::uint64_t value_bytes) {
  const std::optional<DType> dtype =
      said.dtype() == nullptr ? std::nullopt : dtype_named(said.dtype()->string_view());
  if (!dtype) return bad_tensor(index, "is of an unknown dtype");
  std::array<std::uint64_t, kMaxDimensions> extents{};
  const std::size_t dimensions = said.shape() == nullptr ? 0 : said.shape()->size();
  if (dimensions > kMaxDimensions) return bad_tensor(index, "has too many dimensions");
  for (std::size_t d = 0; d < dimensions; ++d) {
    extents[d] = said.shape()->Get(static_cast<flatbuffers::uoffset_t>(d));
  }
  const Shape shape(std::span<const std::uint64_t>(extents).first(dimensions));
  const Result<std::uint64_t> bytes = shape.bytes(*dtype);
  if (!bytes || *bytes > payload.size()) {
    return bad_tensor(index, "has more elements than the payload has room for");
  }
  if (said.offset() > payload.size() || said.offset() < value_bytes ||
      said.offset() % alignment_of(*dtype) != 0) {
    return bad_tensor(index, "begins outside of the payload, or not aligned");
  }
  std::array<std::int64_t, kMaxDimensions> strides{};
  if (*bytes != 0) {
    if (const char* wrong = settle_strides(said, *dtype, shape, strides)) {
      return bad_tensor(index, wrong);
    }
    const auto at = static_cast<std::int64_t>(said.offset());
    const std::optional<Extent> reach = reach_of(*dtype, shape.extents(), strides);
    if (!reach || reach->low < static_cast<std::int64_t>(value_bytes) - at ||
        reach->high > static_cast<std::int64_t>(payload.size()) - at) {
      return bad_tensor(index, "has elements outside of the payload");
    }
  }
  const std::string_view name =
      said.name() == nullptr ? std::string_view() : said.name()->string_view();
  const std::byte* data = payload.data() + said.offset();
  return *bytes == 0 ? Tensor(*dtype, data, shape, name)
                     : Tensor(*dtype, data, shape, std::span(strides).first(dimensions), name);
}

// What is wrong with the names of `count` tensors, or null.
template <class NameAt>
const char* wrong_names(std::size_t count, std::uint64_t value_bytes, NameAt name_at) {
  const bool named = count > 0 && !name_at(0).empty();
  if (!named && value_bytes > 0) return "a value goes with named tensors only";
  for (std::size_t i = 0; i < count; ++i) {
    if (name_at(i).empty() == named) return "of several tensors all are named, or none";
    for (std::size_t j = 0; named && j < i; ++j) {
      if (name_at(i) == name_at(j)) return "two tensors have one name";
    }
  }
  return nullptr;
}

std::string_view name_of(const PlacedTensor& placed) {
  return placed.name.empty() ? placed.tensor.name() : std::string_view(placed.name);
}

}  // namespace

Result<std::uint64_t> read_tensors(const Frame& frame, std::vector<Tensor>& into) {
  into.clear();
  const auto* said = frame.rare == nullptr ? nullptr : frame.rare->tensors();
  if (said == nullptr || said->size() == 0 || said->size() > kMaxTensors) {
    return Error{ErrorCode::kBadFrame, "the frame describes no tensors, or too many"};
  }
  const std::uint64_t value_bytes = frame.rare->value_bytes();
  if (value_bytes > frame.payload.size()) {
    return Error{ErrorCode::kBadFrame, "the frame's value lies outside of its payload"};
  }
  for (const wire::Tensor* each : *said) {
    Result<Tensor> tensor = read_tensor(*each, into.size(), frame.payload, value_bytes);
    if (!tensor) return std::move(tensor).error();
    into.push_back(*tensor);
  }
  const char* wrong =
      wrong_names(into.size(), value_bytes, [&](std::size_t i) { return into[i].name(); });
  if (wrong != nullptr) return Error{ErrorCode::kBadFrame, std::string("the frame: ") + wrong};
  return value_bytes;
}

Status check_names(std::span<const PlacedTensor> tensors, std::uint64_t value_bytes) {
  if (tensors.empty()) return Error{ErrorCode::kInvalidArgument, "there are no tensors to send"};
  if (tensors.size() > kMaxTensors) {
    return Error{ErrorCode::kPayloadTooLarge, std::to_string(tensors.size()) +
                                                  " tensors are too many for one frame, which has "
                                                  "at most " +
                                                  std::to_string(kMaxTensors)};
  }
  const char* wrong =
      wrong_names(tensors.size(), value_bytes, [&](std::size_t i) { return name_of(tensors[i]); });
  if (wrong != nullptr) return Error{ErrorCode::kInvalidArgument, wrong};
  return Done{};
}

std::vector<TensorHead> heads_of(std::span<const PlacedTensor> tensors) {
  std::vector<TensorHead> heads;
  heads.reserve(tensors.size());
  for (const PlacedTensor& placed : tensors) {
    const Tensor& tensor = placed.tensor;
    heads.push_back(
        {.dtype = to_string(tensor.dtype()),
         .shape = tensor.shape(),
         .strides = tensor.contiguous() ? std::span<const std::int64_t>() : tensor.strides(),
         .offset = placed.offset,
         .name = name_of(placed)});
  }
  return heads;
}

}  // namespace slotring::shm
