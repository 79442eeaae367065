// What calls carry, so that a reply shows whose it is: the reply to a request is the request's
// CRC-32 (as zlib.crc32 of Python computes it) in 8 bytes, little-endian, and then the request.

#ifndef SLOTRING_TESTS_CHAOS_PAYLOAD_H_
#define SLOTRING_TESTS_CHAOS_PAYLOAD_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace slotring::chaos {

inline constexpr std::size_t kChecksumBytes = 8;

inline std::uint64_t checksum(std::span<const std::byte> bytes) {
  static const std::array<std::uint32_t, 256> table = [] {
    std::array<std::uint32_t, 256> made{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      made[i] = i;
      for (int bit = 0; bit < 8; ++bit) {
        made[i] = made[i] >> 1 ^ ((made[i] & 1) != 0 ? 0xEDB88320u : 0u);
      }
    }
    return made;
  }();
  std::uint32_t crc = ~0u;
  for (const std::byte byte : bytes) {
    crc = crc >> 8 ^ table[(crc ^ static_cast<std::uint32_t>(byte)) & 0xFF];
  }
  return ~crc;
}

// Writes the reply to `request`. REQUIRES: reply.size() == kChecksumBytes + request.size().
inline void write_reply(std::span<const std::byte> request, std::span<std::byte> reply) {
  const std::uint64_t sum = checksum(request);
  std::memcpy(reply.data(), &sum, kChecksumBytes);
  if (!request.empty()) {
    std::memcpy(reply.data() + kChecksumBytes, request.data(), request.size());
  }
}

inline bool is_reply_to(std::span<const std::byte> request, std::span<const std::byte> reply) {
  if (reply.size() != kChecksumBytes + request.size()) return false;
  std::uint64_t sum = 0;
  std::memcpy(&sum, reply.data(), kChecksumBytes);
  if (sum != checksum(request)) return false;
  return request.empty() ||
         std::memcmp(reply.data() + kChecksumBytes, request.data(), request.size()) == 0;
}

}  // namespace slotring::chaos

#endif  // SLOTRING_TESTS_CHAOS_PAYLOAD_H_
