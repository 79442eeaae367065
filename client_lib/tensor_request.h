// The tensors of a request that are made in its slot, one after another, and the value beside them.

#ifndef SLOTRING_CLIENT_LIB_TENSOR_REQUEST_H_
#define SLOTRING_CLIENT_LIB_TENSOR_REQUEST_H_

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "client_lib/shm/tensors.h"
#include "slotring/payload.h"

namespace slotring::internal {

class TensorRequest {
 public:
  void clear() {
    placed_.clear();
    value_bytes_ = end_ = 0;
  }

  // Errors: INVALID_ARGUMENT, PAYLOAD_TOO_LARGE, OUT_OF_MEMORY; nothing has changed then.
  Status put_value(shm::FrameWriter& writer, std::span<const std::byte> value);
  Result<MutableTensor> add(shm::FrameWriter& writer, DType dtype, const Shape& shape,
                            std::string_view name);

  // Whether what is there can be sent. Errors: INVALID_ARGUMENT, PAYLOAD_TOO_LARGE.
  Status check() const { return shm::check_names(placed_, value_bytes_); }
  std::vector<shm::TensorHead> heads() const { return shm::heads_of(placed_); }
  std::uint64_t bytes() const { return end_; }
  std::uint64_t value_bytes() const { return value_bytes_; }

  // How many bytes a request of these takes. Errors: INVALID_ARGUMENT (the shape of one),
  // PAYLOAD_TOO_LARGE (over 2^63).
  static Result<std::uint64_t> bytes_of(const Payload& payload);

 private:
  std::vector<shm::PlacedTensor> placed_;
  std::uint64_t value_bytes_ = 0;
  std::uint64_t end_ = 0;  // of the payload so far
};

}  // namespace slotring::internal

#endif  // SLOTRING_CLIENT_LIB_TENSOR_REQUEST_H_
