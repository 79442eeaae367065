// What a call carries, either way. Borrowed: the bytes stay the caller's.

#ifndef SLOTRING_PAYLOAD_H_
#define SLOTRING_PAYLOAD_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace slotring {

// How a payload's bytes are to be read. Python sees Bytes as a memoryview, and Value as its own
// objects.
enum class PayloadKind : std::uint8_t {
  kEmpty = 0,
  kBytes = 1,
  kValue = 2,  // one finished FlexBuffers buffer: any JSON-like value
  kTable = 4,  // one finished FlatBuffers buffer of a schema of the user's (table.h)
};

class OwnedPayload;

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
  Payload(const OwnedPayload& owned);

  // A finished FlatBuffers buffer, whose root is of this type, by its fully qualified name, e.g.
  // "shop.Order". Borrowed too.
  static Payload table(std::string_view type, std::span<const std::uint8_t> flatbuffer) {
    Payload payload(std::as_bytes(flatbuffer));
    payload.kind_ = PayloadKind::kTable;
    payload.table_type_ = type;
    return payload;
  }

  // The same payload, whose bytes have been copied to another place.
  Payload moved_to(std::span<const std::byte> copy) const {
    Payload moved = *this;
    moved.data_ = copy;
    return moved;
  }

  PayloadKind kind() const { return kind_; }
  std::span<const std::byte> data() const { return data_; }
  std::string_view table_type() const { return table_type_; }

 private:
  std::span<const std::byte> data_;
  std::string_view table_type_;
  PayloadKind kind_ = PayloadKind::kEmpty;
};

// A payload that owns its bytes, which are 64-byte aligned.
class OwnedPayload {
 public:
  OwnedPayload() = default;
  // A copy. Throws std::bad_alloc.
  explicit OwnedPayload(Payload payload);
  OwnedPayload(OwnedPayload&& other) noexcept
      : bytes_(std::move(other.bytes_)),
        size_(std::exchange(other.size_, 0)),
        kind_(std::exchange(other.kind_, PayloadKind::kEmpty)) {}
  OwnedPayload& operator=(OwnedPayload&& other) noexcept {
    bytes_ = std::move(other.bytes_);
    size_ = std::exchange(other.size_, 0);
    kind_ = std::exchange(other.kind_, PayloadKind::kEmpty);
    return *this;
  }

  PayloadKind kind() const { return kind_; }
  std::span<const std::byte> data() const { return {bytes_.get(), size_}; }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Delete {
    void operator()(std::byte* bytes) const { ::operator delete[](bytes, kAlignment); }
  };

  std::unique_ptr<std::byte[], Delete> bytes_;
  std::size_t size_ = 0;
  PayloadKind kind_ = PayloadKind::kEmpty;
};

}  // namespace slotring

#endif  // SLOTRING_PAYLOAD_H_
