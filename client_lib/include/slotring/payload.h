// What a call carries, either way. Borrowed: the bytes stay the caller's.

#ifndef SLOTRING_PAYLOAD_H_
#define SLOTRING_PAYLOAD_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace slotring {

// How a payload's bytes are to be read. Python sees Bytes as a memoryview, and Value as its own
// objects.
enum class PayloadKind : std::uint8_t {
  kEmpty = 0,
  kBytes = 1,
  kValue = 2,  // one finished FlexBuffers buffer: any JSON-like value
};

class Payload {
 public:
  // Nothing; Python sees None.
  Payload() = default;
  // Raw bytes.
  Payload(std::span<const std::byte> bytes) : data_(bytes), kind_(PayloadKind::kBytes) {}
  Payload(std::string_view text) : Payload(std::as_bytes(std::span(text))) {}
  Payload(const std::string& text) : Payload(std::string_view(text)) {}
  Payload(const char* text) : Payload(std::string_view(text)) {}
  // A finished FlexBuffers buffer, as flexbuffers::Builder::GetBuffer() returns it.
  static Payload value(std::span<const std::uint8_t> flexbuffer) {
    Payload payload(std::as_bytes(flexbuffer));
    payload.kind_ = PayloadKind::kValue;
    return payload;
  }

  PayloadKind kind() const { return kind_; }
  std::span<const std::byte> data() const { return data_; }

 private:
  std::span<const std::byte> data_;
  PayloadKind kind_ = PayloadKind::kEmpty;
};

}  // namespace slotring

#endif  // SLOTRING_PAYLOAD_H_
