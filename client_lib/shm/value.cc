#include "client_lib/shm/value.h"

#include <flatbuffers/flexbuffers.h>

namespace slotring::shm {

Result<std::vector<std::uint8_t>> copy_verified_value(std::span<const std::byte> payload) {
  // FlexBuffers 2.0's verifier lets a key pass that has no end, and its readers look for one: a
  // zero behind the buffer is where they stop.
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(payload.data());
  std::vector<std::uint8_t> copy;
  copy.reserve(payload.size() + 1);
  copy.assign(bytes, bytes + payload.size());
  copy.push_back(0);
  copy.pop_back();
  // Without its reuse tracker, which refuses values that share strings; its bounds on depth and on
  // vectors limit the time.
  if (copy.size() < 3 || !flexbuffers::VerifyBuffer(copy.data(), copy.size())) {
    return Error{ErrorCode::kBadFrame, "the payload is no valid FlexBuffers value"};
  }
  return copy;
}

}  // namespace slotring::shm
