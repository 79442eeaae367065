#include "python_side/native/reply_arrays.h"

#include <utility>

#include "client_lib/shm/tensors.h"
#include "python_side/native/error.h"

namespace slotring::python {

Result<Ref> ReplyArrays::empty(const shm::RunningCall& call, DType dtype, const Shape& shape) {
  const Result<std::uint64_t> bytes = shape.bytes(dtype);
  if (!bytes) return bytes.error();
  Used& used = used_[index_of(call)];
  const std::uint64_t before = used.end;
  const std::uint64_t offset = shm::place_behind(before == 0 ? kValueRoom : before);
  const std::uint64_t most = seat().max_reply_bytes();
  const std::uint64_t left = offset < most ? most - offset : 0;
  if (*bytes > left) {
    return Error{ErrorCode::kPayloadTooLarge,
                 "an array of shape " + shape.to_string() + " and " +
                     std::string(to_string(dtype)) + " takes " + std::to_string(*bytes) +
                     " bytes and does not fit: " +
                     (before == 0 ? "a reply has room for " : "the reply has room left for ") +
                     std::to_string(left) +
                     " bytes of arrays and what describes them (raise slot_bytes in the pool's "
                     "configuration, or send it in parts)"};
  }
  Result<std::span<std::byte>> payload = grow(call, offset - before + *bytes);
  if (!payload) return std::move(payload).error();
  Result<std::byte*> area = seat().reply_area_to_view(call);
  Area* views = area ? area_of(call) : nullptr;
  Ref view;
  if (views != nullptr) {
    used.payload = *area + seat().reply_offset(call, *payload);
    view = ViewedArea::open(views, Tensor(dtype, used.payload + offset, shape), /*writable=*/true);
  }
  if (!view) {
    used.end = before;
    return area ? take_exception(ErrorCode::kOutOfMemory) : std::move(area).error();
  }
  return view;
}

std::optional<std::uint64_t> ReplyArrays::offset_of(const shm::RunningCall& call,
                                                    const Tensor& tensor) const {
  const Used& used = used_[index_of(call)];
  if (used.end == 0) return std::nullopt;
  const auto [low, high] = reach_of(tensor);
  if (low < used.payload + kValueRoom || high > used.payload + used.end) return std::nullopt;
  return static_cast<std::uint64_t>(tensor.data() - used.payload);
}

Result<std::span<std::byte>> ReplyArrays::grow(const shm::RunningCall& call, std::uint64_t more) {
  Used& used = used_[index_of(call)];
  Result<std::span<std::byte>> payload = seat().reply_space(call, used.end + more);
  if (!payload) return payload;
  if (used.end != 0 && payload->data() != used.written) {
    // A stream's window stands where it would go on; the arrays stay where they are.
    (void)seat().reply_space(call, used.end).ok();
    return Error{ErrorCode::kPayloadTooLarge,
                 "the arrays of a reply do not fit before what its call streams: make them before "
                 "the first item, or smaller"};
  }
  used.written = payload->data();
  used.end += more;
  return payload;
}

}  // namespace slotring::python
