#include "client_lib/tensor_request.h"

#include <cstring>
#include <string>
#include <utility>

namespace slotring::internal {

namespace {

// Where a payload ends that has `bytes` more behind `end`. Errors: PAYLOAD_TOO_LARGE.
Result<std::uint64_t> end_behind(std::uint64_t end, std::uint64_t bytes) {
  std::uint64_t grown = 0;
  // Bounded so that no placing behind it overflows.
  if (__builtin_add_overflow(shm::place_behind(end), bytes, &grown) || grown >> 63 != 0) {
    return Error{ErrorCode::kPayloadTooLarge, "the tensors have more than 2^63 bytes together"};
  }
  return grown;
}

}  // namespace

Status TensorRequest::put_value(shm::FrameWriter& writer, std::span<const std::byte> value) {
  if (!placed_.empty()) {
    return Error{ErrorCode::kInvalidArgument, "the value comes before the tensors"};
  }
  Result<std::span<std::byte>> space = writer.payload_space(value.size());
  if (!space) return std::move(space).error();
  if (!value.empty()) std::memcpy(space->data(), value.data(), value.size());
  value_bytes_ = end_ = value.size();
  return Done{};
}

Result<MutableTensor> TensorRequest::add(shm::FrameWriter& writer, DType dtype, const Shape& shape,
                                         std::string_view name) {
  const Result<std::uint64_t> bytes = shape.bytes(dtype);
  if (!bytes) return bytes.error();
  const Result<std::uint64_t> end = end_behind(end_, *bytes);
  if (!end) return end.error();
  Result<std::span<std::byte>> space = writer.payload_space(*end);
  if (!space) return std::move(space).error();
  const std::uint64_t offset = shm::place_behind(end_);
  // Its name is a copy's: the caller's may go before the request is sent.
  MutableTensor tensor(dtype, space->data() + offset, shape, name);
  placed_.push_back(
      {Tensor(dtype, tensor.data(), shape, std::string_view()), offset, std::string(name)});
  end_ = *end;
  return tensor;
}

Result<std::uint64_t> TensorRequest::bytes_of(const Payload& payload) {
  std::uint64_t end = payload.data().size();
  for (const Tensor& tensor : payload.tensors()) {
    const Result<std::uint64_t> bytes = Shape(tensor.shape()).bytes(tensor.dtype());
    if (!bytes) return bytes.error();
    const Result<std::uint64_t> grown = end_behind(end, *bytes);
    if (!grown) return grown;
    end = *grown;
  }
  return end;
}

}  // namespace slotring::internal
