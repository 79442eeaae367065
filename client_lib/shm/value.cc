#include "client_lib/shm/value.h"

#include <cstring>

#include <flatbuffers/flexbuffers.h>

namespace slotring::shm {

Result<std::vector<std::uint8_t>> copy_verified_value(std::span<const std::byte> payload) {
  std::vector<std::uint8_t> copy(payload.size());
  if (!payload.empty()) std::memcpy(copy.data(), payload.data(), payload.size());
  // The tracker lets the verifier pass shared parts once; without it nested sharing takes
  // exponential time.
  std::vector<std::uint8_t> visited;
  if (copy.size() < 3 || !flexbuffers::VerifyBuffer(copy.data(), copy.size(), &visited)) {
    return Error{ErrorCode::kBadFrame, "the payload is no valid FlexBuffers value"};
  }
  return copy;
}

}  // namespace slotring::shm
