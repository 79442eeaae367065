#include "client_lib/shm/frame.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>

namespace slotring::shm {

using layout::AreaHeader;
using layout::FrameDescriptor;
using layout::kEnvelopeOffset;
using layout::kEnvelopeReservedBytes;
using layout::kPayloadOffset;
using layout::PayloadExtent;

namespace {

wire::FixedPart to_wire(const FrameHead& head) {
  return wire::FixedPart(head.call_id, head.deadline_ns, head.generation, head.method, head.kind,
                         0);
}

// A finished envelope without a rare part, built once by FlatBuffers; a plain call copies it and
// sets its fixed part.
class PlainEnvelope {
 public:
  PlainEnvelope() {
    flatbuffers::FlatBufferBuilder builder(128);
    const wire::FixedPart fixed;
    wire::FinishEnvelopeBuffer(builder, wire::CreateEnvelope(builder, &fixed));
    bytes_ = builder.GetSize();
    assert(bytes_ <= image_.size());
    std::memcpy(image_.data(), builder.GetBufferPointer(), bytes_);
    const auto* envelope = wire::GetEnvelope(image_.data());
    fixed_at_ = static_cast<std::size_t>(reinterpret_cast<const std::byte*>(envelope->fixed()) -
                                         image_.data());
  }

  std::size_t bytes() const { return bytes_; }

  // Whether `envelope` is this one but for the values in its fixed part, on which the verifier's
  // verdict does not depend: it passes, then, as this one does.
  bool matches(std::span<const std::byte> envelope) const {
    const std::size_t fixed_end = fixed_at_ + sizeof(wire::FixedPart);
    return envelope.size() == bytes_ &&
           std::memcmp(envelope.data(), image_.data(), fixed_at_) == 0 &&
           std::memcmp(envelope.data() + fixed_end, image_.data() + fixed_end,
                       bytes_ - fixed_end) == 0;
  }
  void write(std::byte* into, const FrameHead& head) const {
    const wire::FixedPart fixed = to_wire(head);
    std::memcpy(into, image_.data(), kEnvelopeReservedBytes);
    std::memcpy(into + fixed_at_, &fixed, sizeof(fixed));
  }

 private:
  alignas(16) std::array<std::byte, kEnvelopeReservedBytes> image_{};
  std::size_t bytes_;
  std::size_t fixed_at_;
};

const PlainEnvelope& plain_envelope() {
  static const PlainEnvelope envelope;
  return envelope;
}

std::string_view first_bytes(std::string_view text, std::size_t most) {
  return text.substr(0, most);
}

std::string_view last_bytes(std::string_view text, std::size_t most) {
  return text.size() <= most ? text : text.substr(text.size() - most);
}

flatbuffers::Offset<wire::Error> build_error(flatbuffers::FlatBufferBuilder& builder,
                                             const Error& error) {
  const auto text = [&](std::string_view value) {
    return value.empty() ? flatbuffers::Offset<flatbuffers::String>()
                         : builder.CreateString(value.data(), value.size());
  };
  const auto message = text(first_bytes(error.message, kMaxMessageBytes));
  const auto python_type = text(first_bytes(error.python_type, kMaxMessageBytes / 8));
  const auto traceback = text(last_bytes(error.traceback, kMaxTracebackBytes));
  return wire::CreateError(builder, static_cast<wire::ErrorCategory>(error.category()),
                           static_cast<wire::ErrorCode>(error.code), error.retryable, message,
                           python_type, traceback);
}

void build_envelope(flatbuffers::FlatBufferBuilder& builder, const FrameHead& head,
                    const RareHead& rare) {
  flatbuffers::Offset<flatbuffers::String> method_name;
  flatbuffers::Offset<flatbuffers::String> session;
  flatbuffers::Offset<wire::Error> error;
  if (!rare.method_name.empty()) {
    method_name = builder.CreateString(rare.method_name.data(), rare.method_name.size());
  }
  if (!rare.session.empty()) {
    session = builder.CreateString(rare.session.data(), rare.session.size());
  }
  if (rare.error != nullptr) error = build_error(builder, *rare.error);
  wire::RarePartBuilder rare_part(builder);
  if (!method_name.IsNull()) rare_part.add_method_name(method_name);
  if (!session.IsNull()) rare_part.add_session(session);
  if (!error.IsNull()) rare_part.add_error(error);
  const auto rare_at = rare_part.Finish();
  const wire::FixedPart fixed = to_wire(head);
  wire::FinishEnvelopeBuffer(builder, wire::CreateEnvelope(builder, &fixed, rare_at));
}

bool verifies(std::span<const std::byte> envelope) {
  flatbuffers::Verifier verifier(reinterpret_cast<const std::uint8_t*>(envelope.data()),
                                 envelope.size());
  return envelope.size() >= 8 && wire::VerifyEnvelopeBuffer(verifier);
}

Error bad_frame(std::string what) { return Error{ErrorCode::kBadFrame, std::move(what)}; }

}  // namespace

Status FrameWriter::back_with_memory(std::uint64_t bytes) {
  if (bytes <= memory_->warm_bytes() || bytes <= reserved_) return Done{};
  Status reserved = reserve(memory_->memory(), memory_->offset(slot_), bytes);
  // Also after a failure: part of it may be there.
  backed_ = std::max(backed_, bytes);
  if (reserved) reserved_ = bytes;
  return reserved;
}

Result<std::span<std::byte>> FrameWriter::payload_space(std::uint64_t bytes) {
  const std::uint64_t most = memory_->area_bytes() - kPayloadOffset;
  if (bytes > most) {
    return Error{ErrorCode::kPayloadTooLarge,
                 "a payload of " + std::to_string(bytes) +
                     " bytes does not fit: a slot of this pool takes " + std::to_string(most) +
                     " (slot_bytes in its configuration)"};
  }
  if (Status backed = back_with_memory(kPayloadOffset + bytes); !backed) {
    return std::move(backed).error();
  }
  return std::span(memory_->area(slot_) + kPayloadOffset, static_cast<std::size_t>(bytes));
}

void FrameWriter::describe(std::uint64_t payload_bytes, std::uint64_t envelope_offset,
                           std::size_t envelope_bytes) {
  auto* header = reinterpret_cast<AreaHeader*>(memory_->area(slot_));
  FrameDescriptor& descriptor = header->descriptor(0);
  constexpr auto kRelaxed = std::memory_order_relaxed;
  descriptor.payload.store(PayloadExtent{kPayloadOffset, payload_bytes}.pack(), kRelaxed);
  descriptor.envelope_offset.store(static_cast<std::uint32_t>(envelope_offset), kRelaxed);
  descriptor.envelope_bytes.store(static_cast<std::uint16_t>(envelope_bytes), kRelaxed);
  descriptor.flags.store(0, kRelaxed);
}

Status FrameWriter::commit(const FrameHead& head, std::uint64_t payload_bytes,
                           const RareHead& rare) {
  std::byte* const area = memory_->area(slot_);
  if (rare.empty()) {
    plain_envelope().write(area + kEnvelopeOffset, head);
    describe(payload_bytes, kEnvelopeOffset, plain_envelope().bytes());
    return Done{};
  }
  flatbuffers::FlatBufferBuilder builder(512);
  build_envelope(builder, head, rare);
  const std::size_t bytes = builder.GetSize();
  if (bytes > layout::kMaxEnvelopeBytes) {
    return Error{ErrorCode::kPayloadTooLarge,
                 "the call's envelope of " + std::to_string(bytes) + " bytes is too large"};
  }
  const std::uint64_t offset = bytes <= kEnvelopeReservedBytes
                                   ? kEnvelopeOffset
                                   : layout::align_up(kPayloadOffset + payload_bytes, 64);
  if (offset + bytes > memory_->area_bytes() || offset > UINT32_MAX) {
    return Error{ErrorCode::kPayloadTooLarge, "no room for the envelope behind the payload"};
  }
  if (Status backed = back_with_memory(offset + bytes); !backed) return backed;
  std::memcpy(area + offset, builder.GetBufferPointer(), bytes);
  describe(payload_bytes, offset, bytes);
  return Done{};
}

void FrameWriter::trim() {
  if (backed_ == 0) return;
  const std::uint64_t warm = memory_->warm_bytes();
  const std::uint64_t end = layout::align_up(backed_, layout::kPageBytes);
  // Failing to give memory back loses nothing but memory until the next large call.
  (void)give_back(memory_->memory(), memory_->offset(slot_) + warm, end - warm).ok();
  backed_ = 0;
  reserved_ = 0;
}

std::span<const std::byte> FrameReader::copy_envelope(const std::byte* from, std::size_t bytes) {
  if (bytes <= small_.size()) {
    std::memcpy(small_.data(), from, bytes);
    return std::span(small_).first(bytes);
  }
  large_.resize((bytes + 7) / 8);
  std::memcpy(large_.data(), from, bytes);
  return std::as_bytes(std::span(large_)).first(bytes);
}

Result<Frame> FrameReader::read(const std::byte* area, std::uint64_t area_bytes,
                                std::uint32_t index, std::uint32_t generation,
                                std::uint64_t warm_bytes) {
  constexpr auto kRelaxed = std::memory_order_relaxed;
  const auto* header = reinterpret_cast<const AreaHeader*>(area);
  const FrameDescriptor& descriptor = header->descriptor(index);
  const PayloadExtent payload = PayloadExtent::unpack(descriptor.payload.load(kRelaxed));
  const std::uint64_t envelope_offset = descriptor.envelope_offset.load(kRelaxed);
  const std::size_t envelope_bytes = descriptor.envelope_bytes.load(kRelaxed);

  if (payload.offset < kPayloadOffset || payload.offset > area_bytes ||
      payload.bytes > area_bytes - payload.offset) {
    return bad_frame("the frame's payload lies outside the slot's area");
  }
  if (envelope_offset < kEnvelopeOffset || envelope_offset % 8 != 0 ||
      envelope_bytes > layout::kMaxEnvelopeBytes || envelope_offset > area_bytes ||
      envelope_bytes > area_bytes - envelope_offset) {
    return bad_frame("the frame's envelope lies outside the slot's area");
  }
  const std::uint64_t payload_end = payload.offset + payload.bytes;
  const std::uint64_t end = std::max(payload_end, envelope_offset + envelope_bytes);
  if (end > warm_bytes) {
    const std::uint64_t begin = std::min(payload.offset, envelope_offset);
    Status backed = fault_in(std::span(area + begin, static_cast<std::size_t>(end - begin)));
    if (!backed) return std::move(backed).error();
  }
  const std::span<const std::byte> copy = copy_envelope(area + envelope_offset, envelope_bytes);
  if (!plain_envelope().matches(copy) && !verifies(copy)) {
    return bad_frame("the frame's envelope does not verify");
  }
  const wire::Envelope* envelope = wire::GetEnvelope(copy.data());
  const wire::FixedPart& fixed = *envelope->fixed();
  if (fixed.generation() != generation) {
    return bad_frame("the frame belongs to generation " + std::to_string(fixed.generation()) +
                     " of its slot, which is at " + std::to_string(generation));
  }
  return Frame{FrameHead{fixed.call_id(), fixed.deadline_ns(), fixed.generation(), fixed.method(),
                         fixed.kind()},
               envelope->rare(),
               std::span(area + payload.offset, static_cast<std::size_t>(payload.bytes))};
}

std::optional<Error> error_of(const Frame& frame) {
  if (frame.rare == nullptr || frame.rare->error() == nullptr) return std::nullopt;
  const wire::Error& wire_error = *frame.rare->error();
  const auto text = [](const flatbuffers::String* value) {
    return value == nullptr ? std::string() : value->str();
  };
  return Error{static_cast<ErrorCode>(wire_error.code()), text(wire_error.message()),
               text(wire_error.python_type()), text(wire_error.traceback()),
               wire_error.retryable()};
}

}  // namespace slotring::shm
