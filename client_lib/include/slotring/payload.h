// What a call carries, either way. Borrowed: the bytes stay the caller's.

#ifndef SLOTRING_PAYLOAD_H_
#define SLOTRING_PAYLOAD_H_

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "slotring/tensor.h"

namespace slotring {

// How a payload's bytes are to be read. Python sees Bytes as a memoryview, Value as its own
// objects, and Tensors as numpy arrays: one alone, a list of them, or, when they are named, a dict.
enum class PayloadKind : std::uint8_t {
  kEmpty = 0,
  kBytes = 1,
  kValue = 2,  // one finished FlexBuffers buffer: any JSON-like value
  kTensors = 3,
  kTable = 4,  // one finished FlatBuffers buffer of a schema of the user's (table.h)
};

class OwnedPayload;
struct ReplyView;

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
  // One tensor (tensor.h), named or not.
  Payload(const Tensor& tensor) : Payload(tensors({&tensor, 1})) {}
  Payload(const MutableTensor& tensor) = delete;  // Tensor(tensor), which outlives the payload
  // Several, all named differently or none; with named ones may go a `value`, a finished
  // FlexBuffers map of other names. Python sees both in one dict.
  static Payload tensors(std::span<const Tensor> tensors,
                         std::span<const std::uint8_t> value = {}) {
    Payload payload = Payload::value(value);
    payload.tensors_ = tensors;
    payload.kind_ = PayloadKind::kTensors;
    return payload;
  }
  static Payload tensors(std::initializer_list<Tensor> tensors,
                         std::span<const std::uint8_t> value = {}) {
    return Payload::tensors(std::span(tensors.begin(), tensors.size()), value);
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

  PayloadKind kind() const { return kind_; }
  // With tensors: the value beside them.
  std::span<const std::byte> data() const { return data_; }
  std::string_view table_type() const { return table_type_; }
  std::span<const Tensor> tensors() const { return tensors_; }

 private:
  std::span<const std::byte> data_;
  std::string_view table_type_;
  std::span<const Tensor> tensors_;
  PayloadKind kind_ = PayloadKind::kEmpty;
};

// A payload that owns all that it shows; its bytes are 64-byte aligned.
class OwnedPayload {
 public:
  OwnedPayload();
  // A copy. Throws std::bad_alloc, and Exception with PAYLOAD_TOO_LARGE or INVALID_ARGUMENT for
  // tensors of a size that there is none of.
  explicit OwnedPayload(const Payload& payload);
  explicit OwnedPayload(const ReplyView& view);
  OwnedPayload(OwnedPayload&&) noexcept;
  OwnedPayload& operator=(OwnedPayload&&) noexcept;
  ~OwnedPayload();

  PayloadKind kind() const;
  std::span<const std::byte> data() const;
  // Both valid as long as this, wherever it is moved.
  ReplyView view() const;
  Payload payload() const;

 private:
  struct Content;

  std::unique_ptr<const Content> content_;  // null: empty
};

}  // namespace slotring

#endif  // SLOTRING_PAYLOAD_H_
