// A payload as it goes into a lane: an item of a stream, what a tool answers, a nested call.
//
// Bytes and values need nothing beside them. A table's type and the places of tensors travel in the
// frame's envelope.

#ifndef SLOTRING_CLIENT_LIB_LANE_PAYLOAD_H_
#define SLOTRING_CLIENT_LIB_LANE_PAYLOAD_H_

#include <cstdint>
#include <span>
#include <vector>

#include "client_lib/shm/tensors.h"
#include "slotring/payload.h"

namespace slotring::internal {

class LanePayload {
 public:
  // Borrows what `payload` does; allocates for tensors only. Errors: INVALID_ARGUMENT (tensors that
  // cannot go together, a table without its type), PAYLOAD_TOO_LARGE (too many tensors).
  static Result<LanePayload> of(const Payload& payload);
  LanePayload() = default;  // nothing
  LanePayload(LanePayload&&) noexcept = default;
  LanePayload& operator=(LanePayload&&) noexcept = default;

  wire::PayloadKind kind() const { return static_cast<wire::PayloadKind>(payload_.kind()); }
  std::uint64_t bytes() const { return bytes_; }
  bool needs_envelope() const { return payload_.kind() >= PayloadKind::kTensors; }
  // REQUIRES: `space` has bytes().
  void write(std::span<std::byte> space) const;
  // Puts into an envelope what says how to read it; borrowed from this.
  void describe(shm::RareHead& rare) const;

 private:
  Payload payload_;
  std::uint64_t bytes_ = 0;
  std::vector<shm::PlacedTensor> placed_;
  std::vector<shm::TensorHead> heads_;  // of placed_
};

}  // namespace slotring::internal

#endif  // SLOTRING_CLIENT_LIB_LANE_PAYLOAD_H_
