// JSON text, FlexBuffers values and replies, each into the other.

#ifndef SLOTRING_TOOLS_CLI_JSON_VALUE_H_
#define SLOTRING_TOOLS_CLI_JSON_VALUE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "slotring/client.h"

namespace slotring::cli {

// `text` as a finished FlexBuffers buffer. Errors: INVALID_ARGUMENT, saying at which line and
// column the text is no JSON, with that line and a mark under the place; or what FlexBuffers cannot
// hold (nesting over kMaxDepth, a zero byte in a key).
Result<std::vector<std::uint8_t>> json_to_value(std::string_view text);

// The value in a verified FlexBuffers buffer (Reply::value()). Byte strings become text where they
// are text, and hexadecimal digits elsewhere; numbers that JSON has not (NaN) become null.
// Errors: BAD_FRAME when it is nested over kMaxDepth, or has over kMaxNodes parts: a small buffer
// can stand for a huge value by sharing.
Result<nlohmann::json> value_to_json(const std::vector<std::uint8_t>& flexbuffer);

// A reply of any kind: null, the value, bytes as above, the dtypes and shapes of tensors (with the
// value beside them), a table by its type and hexadecimal digits.
Result<nlohmann::json> reply_to_json(const Reply& reply);

std::string hex_digits(std::string_view bytes);

inline constexpr int kMaxDepth = 64;  // what the FlexBuffers verifier accepts
inline constexpr std::uint64_t kMaxNodes = 10'000'000;

}  // namespace slotring::cli

#endif  // SLOTRING_TOOLS_CLI_JSON_VALUE_H_
