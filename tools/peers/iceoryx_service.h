// What both ends of the iceoryx peer agree on.

#ifndef SLOTRING_TOOLS_PEERS_ICEORYX_SERVICE_H_
#define SLOTRING_TOOLS_PEERS_ICEORYX_SERVICE_H_

#include <cstdint>
#include <string>

#include "iceoryx_posh/capro/service_description.hpp"
#include "iceoryx_posh/mepoo/chunk_header.hpp"

namespace slotring::peers {

inline constexpr std::uint32_t kPayloadAlignment = 64;

// A service has one server; so each server is an instance of its own.
inline iox::capro::ServiceDescription iceoryx_service(const std::string& instance) {
  using iox::cxx::TruncateToCapacity;
  return {"slotring", {TruncateToCapacity, instance}, "echo"};
}

inline std::uint32_t payload_bytes(const void* payload) {
  return iox::mepoo::ChunkHeader::fromUserPayload(payload)->userPayloadSize();
}

}  // namespace slotring::peers

#endif  // SLOTRING_TOOLS_PEERS_ICEORYX_SERVICE_H_
