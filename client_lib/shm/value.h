// Values (FlexBuffers) that a peer wrote: copied to private memory first and verified there, since
// they are parsed, and their writer could change them in between.

#ifndef SLOTRING_CLIENT_LIB_SHM_VALUE_H_
#define SLOTRING_CLIENT_LIB_SHM_VALUE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "slotring/result.h"

namespace slotring::shm {

// A copy that flexbuffers::GetRoot() may read. Errors: BAD_FRAME.
Result<std::vector<std::uint8_t>> copy_verified_value(std::span<const std::byte> payload);

}  // namespace slotring::shm

#endif  // SLOTRING_CLIENT_LIB_SHM_VALUE_H_
