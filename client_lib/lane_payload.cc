#include "client_lib/lane_payload.h"

#include <cstring>
#include <utility>

#include "client_lib/tensor_request.h"

namespace slotring::internal {

static_assert(PayloadKind::kTensors > PayloadKind::kValue &&
              PayloadKind::kTable > PayloadKind::kValue);

Result<LanePayload> LanePayload::of(const Payload& payload) {
  LanePayload made;
  made.payload_ = payload;
  made.bytes_ = payload.data().size();
  if (!made.needs_envelope()) [[likely]]
    return made;
  if (payload.kind() == PayloadKind::kTable) {
    if (!payload.table_type().empty()) return made;
    return Error{ErrorCode::kInvalidArgument,
                 "a table goes with the fully qualified name of its type"};
  }
  const Result<std::uint64_t> all = TensorRequest::bytes_of(payload);
  if (!all) return all.error();
  std::uint64_t end = made.bytes_;
  for (const Tensor& tensor : payload.tensors()) {
    const std::uint64_t offset = shm::place_behind(end);
    // As it will stand there: in C order.
    made.placed_.push_back(
        {Tensor(tensor.dtype(), tensor.data(), tensor.shape(), tensor.name()), offset});
    end = offset + tensor.bytes();
  }
  if (Status good = shm::check_names(made.placed_, made.bytes_); !good) {
    return std::move(good).error();
  }
  made.heads_ = shm::heads_of(made.placed_);
  made.bytes_ = *all;
  return made;
}

void LanePayload::write(std::span<std::byte> space) const {
  const std::span<const std::byte> data = payload_.data();
  if (!data.empty()) std::memcpy(space.data(), data.data(), data.size());
  for (std::size_t i = 0; i < placed_.size(); ++i) {
    copy_elements(payload_.tensors()[i], space.data() + placed_[i].offset);
  }
}

void LanePayload::describe(shm::RareHead& rare) const {
  rare.table_type = payload_.table_type();
  rare.tensors = heads_;
  rare.value_bytes = heads_.empty() ? 0 : payload_.data().size();
}

}  // namespace slotring::internal
