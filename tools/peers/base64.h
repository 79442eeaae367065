// Bytes as text, for messages in JSON. Source: RFC 4648, section 4.

#ifndef SLOTRING_TOOLS_PEERS_BASE64_H_
#define SLOTRING_TOOLS_PEERS_BASE64_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace slotring::peers {

inline constexpr std::string_view kBase64Digits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

inline std::string to_base64(std::span<const std::byte> bytes) {
  std::string text((bytes.size() + 2) / 3 * 4, '=');
  char* out = text.data();
  for (std::size_t i = 0; i < bytes.size(); i += 3, out += 4) {
    std::uint32_t three = 0;
    const std::size_t here = std::min<std::size_t>(3, bytes.size() - i);
    for (std::size_t k = 0; k < here; ++k) {
      three |= std::to_integer<std::uint32_t>(bytes[i + k]) << (16 - 8 * k);
    }
    for (std::size_t k = 0; k <= here; ++k) out[k] = kBase64Digits[three >> (18 - 6 * k) & 63];
  }
  return text;
}

// Into `bytes`, as many as there is room for. False when the text has not so many.
inline bool from_base64(std::string_view text, std::span<std::byte> bytes) {
  static const std::array<std::uint8_t, 256> kValues = [] {
    std::array<std::uint8_t, 256> values{};
    for (std::size_t i = 0; i < kBase64Digits.size(); ++i) {
      values[static_cast<unsigned char>(kBase64Digits[i])] = static_cast<std::uint8_t>(i);
    }
    return values;
  }();
  if (text.size() != (bytes.size() + 2) / 3 * 4) return false;
  for (std::size_t i = 0, at = 0; i < bytes.size(); i += 3, at += 4) {
    std::uint32_t three = 0;
    for (std::size_t k = 0; k < 4; ++k) {
      three = three << 6 | kValues[static_cast<unsigned char>(text[at + k])];
    }
    const std::size_t here = std::min<std::size_t>(3, bytes.size() - i);
    for (std::size_t k = 0; k < here; ++k) {
      bytes[i + k] = static_cast<std::byte>(three >> (16 - 8 * k) & 255);
    }
  }
  return true;
}

}  // namespace slotring::peers

#endif  // SLOTRING_TOOLS_PEERS_BASE64_H_
