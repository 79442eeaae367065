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
                         head.flags);
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

// Made when the program starts, so that no call has to look whether it is, and before any object of
// the program's own, which may make calls.
[[gnu::init_priority(101)]] const PlainEnvelope kPlainEnvelope;

std::string_view first_bytes(std::string_view text, std::size_t most) {
  return text.substr(0, most);
}

std::string_view last_bytes(std::string_view text, std::size_t most) {
  return text.size() <= most ? text : text.substr(text.size() - most);
}

flatbuffers::Offset<flatbuffers::String> text_or_none(flatbuffers::FlatBufferBuilder& builder,
                                                      std::string_view text) {
  return text.empty() ? flatbuffers::Offset<flatbuffers::String>()
                      : builder.CreateString(text.data(), text.size());
}

flatbuffers::Offset<wire::Error> build_error(flatbuffers::FlatBufferBuilder& builder,
                                             const Error& error) {
  const auto message = text_or_none(builder, first_bytes(error.message, kMaxMessageBytes));
  const auto python_type =
      text_or_none(builder, first_bytes(error.python_type, kMaxMessageBytes / 8));
  const auto traceback = text_or_none(builder, last_bytes(error.traceback, kMaxTracebackBytes));
  return wire::CreateError(builder, static_cast<wire::ErrorCategory>(error.category()),
                           static_cast<wire::ErrorCode>(error.code), error.retryable, message,
                           python_type, traceback);
}

flatbuffers::Offset<wire::Tensor> build_tensor(flatbuffers::FlatBufferBuilder& builder,
                                               const TensorHead& tensor) {
  const auto dtype = builder.CreateString(tensor.dtype.data(), tensor.dtype.size());
  const auto shape = builder.CreateVector(tensor.shape.data(), tensor.shape.size());
  flatbuffers::Offset<flatbuffers::Vector<std::int64_t>> strides;
  if (!tensor.strides.empty()) {
    strides = builder.CreateVector(tensor.strides.data(), tensor.strides.size());
  }
  const auto name = text_or_none(builder, tensor.name);
  return wire::CreateTensor(builder, dtype, shape, strides, tensor.offset, name);
}

void build_envelope(flatbuffers::FlatBufferBuilder& builder, const FrameHead& head,
                    const RareHead& rare) {
  const auto method_name = text_or_none(builder, rare.method_name);
  const auto session = text_or_none(builder, rare.session);
  const auto table_type = text_or_none(builder, rare.table_type);
  flatbuffers::Offset<wire::Error> error;
  if (rare.error != nullptr) error = build_error(builder, *rare.error);
  flatbuffers::Offset<flatbuffers::Vector<flatbuffers::Offset<wire::Tensor>>> tensors;
  if (!rare.tensors.empty()) {
    std::vector<flatbuffers::Offset<wire::Tensor>> built;
    for (const TensorHead& tensor : rare.tensors) built.push_back(build_tensor(builder, tensor));
    tensors = builder.CreateVector(built);
  }
  // Absent fields, those with a null offset or a zero, take no room.
  const auto rare_at = wire::CreateRarePart(builder, method_name, session, 0, table_type, tensors,
                                            rare.value_bytes, rare.window_bytes, error);
  const wire::FixedPart fixed = to_wire(head);
  wire::FinishEnvelopeBuffer(builder, wire::CreateEnvelope(builder, &fixed, rare_at));
}

bool verifies(std::span<const std::byte> envelope) {
  flatbuffers::Verifier verifier(reinterpret_cast<const std::uint8_t*>(envelope.data()),
                                 envelope.size());
  return envelope.size() >= 8 && wire::VerifyEnvelopeBuffer(verifier);
}

// To where memory is made ready when `bytes` of an area are wanted: within the part that is kept in
// steps, so that payloads that grow, and the frames of a stream, do not each cost system calls.
std::uint64_t step_end(std::uint64_t bytes, std::uint64_t kept_bytes) {
  constexpr std::uint64_t kStepBytes = 64 * 1024;
  return std::max(bytes, std::min(layout::align_up(bytes, kStepBytes), kept_bytes));
}

Error bad_frame(std::string what) { return Error{ErrorCode::kBadFrame, std::move(what)}; }

}  // namespace

Result<EnvelopeImage> EnvelopeImage::build(const FrameHead& head, const RareHead& rare) {
  EnvelopeImage image;
  build_envelope(image.builder_, head, rare);
  if (image.builder_.GetSize() > layout::kMaxEnvelopeBytes) {
    return Error{ErrorCode::kPayloadTooLarge, "the call's envelope of " +
                                                  std::to_string(image.builder_.GetSize()) +
                                                  " bytes is too large"};
  }
  return image;
}

void describe(FrameDescriptor& descriptor, const PayloadExtent& payload,
              std::uint64_t envelope_offset, std::size_t envelope_bytes, std::uint16_t flags) {
  constexpr auto kRelaxed = std::memory_order_relaxed;
  descriptor.payload.store(payload.pack(), kRelaxed);
  descriptor.envelope_at.store(
      static_cast<std::uint32_t>(envelope_offset / layout::kEnvelopeUnitBytes), kRelaxed);
  descriptor.envelope_bytes.store(static_cast<std::uint16_t>(envelope_bytes), kRelaxed);
  descriptor.flags.store(flags, kRelaxed);
}

void FrameWriter::begin() {
  payload_offset_ = payload_end_ = kPayloadOffset;
  windows_begin_ = windows_end_ = 0;
  trim();  // what an earlier call that was abandoned left, and others may have given back since
}

Status FrameWriter::back_more(std::uint64_t bytes) {
  const std::uint64_t ahead = step_end(bytes, memory_->kept_bytes());
  const std::uint64_t least = layout::align_up(bytes, layout::kPageBytes);
  if (ahead > least && grow_to(ahead)) return Done{};
  return grow_to(least);
}

Status FrameWriter::grow_to(std::uint64_t end) {
  const std::uint64_t reserved = std::max(backed_, memory_->warm_bytes());
  const std::span<std::byte> wanted(area() + backed_, static_cast<std::size_t>(end - backed_));
  Status done = Done{};
  if (end > reserved) {
    // Reserving takes small pages where huge ones are had by advice only; touching takes huge ones.
    if (memory_->has_huge_pages()) (void)fault_in_to_write(wanted).ok();
    done = reserve(memory_->memory(), memory_->offset(slot_) + reserved, end - reserved);
  }
  if (done) done = fault_in_to_write(wanted);
  if (done) {
    backed_ = end;
  } else if (end > memory_->kept_bytes()) {
    give_back_from(std::max(backed_, memory_->kept_bytes()));  // part of it may be there
  }
  return done;
}

// Failing to give memory back loses nothing but memory until the next large call.
void FrameWriter::give_back_from(std::uint64_t begin) const {
  (void)give_back(memory_->memory(), memory_->offset(slot_) + begin, memory_->area_bytes() - begin)
      .ok();
}

Result<std::span<std::byte>> FrameWriter::payload_space(std::uint64_t bytes) {
  const std::uint64_t most = memory_->area_bytes() - kPayloadOffset;
  std::uint64_t offset = kPayloadOffset;
  // An envelope may go behind it, before the windows.
  if (windows_begin_ != 0 && bytes + layout::kMaxEnvelopeBytes > windows_begin_ - offset) {
    offset = windows_end_;
  }
  if (bytes > most || offset + bytes > memory_->area_bytes()) {
    return Error{ErrorCode::kPayloadTooLarge,
                 "a payload of " + std::to_string(bytes) +
                     " bytes does not fit: a slot of this pool takes " + std::to_string(most) +
                     " (slot_bytes in its configuration)" +
                     (bytes > most ? "" : ", less what its streams take")};
  }
  if (Status backed = back_with_memory(offset + bytes); !backed) return std::move(backed).error();
  payload_offset_ = offset;
  payload_end_ = offset + bytes;
  return std::span(area() + offset, static_cast<std::size_t>(bytes));
}

Result<std::uint64_t> FrameWriter::open_window(std::uint64_t bytes) {
  // Behind what is granted, and room for an envelope.
  const std::uint64_t begin = layout::align_up(
      std::max(payload_end_ + layout::kMaxEnvelopeBytes, windows_end_), layout::kCacheLineBytes);
  if (begin > memory_->area_bytes() || bytes > memory_->area_bytes() - begin) {
    return Error{ErrorCode::kPayloadTooLarge,
                 "a window of " + std::to_string(bytes) + " bytes does not fit into a slot of " +
                     std::to_string(memory_->area_bytes()) +
                     " beside what the call takes (slot_bytes in the pool's configuration)"};
  }
  if (windows_begin_ == 0) windows_begin_ = begin;
  windows_end_ = layout::align_up(begin + bytes, layout::kCacheLineBytes);
  return begin;
}

Status FrameWriter::commit(const FrameHead& head, std::uint64_t payload_bytes,
                           const RareHead& rare) {
  auto& first = reinterpret_cast<AreaHeader*>(area())->first;
  const PayloadExtent payload{payload_offset_, payload_bytes};
  if (rare.empty()) {
    kPlainEnvelope.write(area() + kEnvelopeOffset, head);
    describe(first, payload, kEnvelopeOffset, kPlainEnvelope.bytes(), 0);
    return Done{};
  }
  const Result<EnvelopeImage> envelope = EnvelopeImage::build(head, rare);
  if (!envelope) return envelope.error();
  const std::size_t bytes = envelope->bytes().size();
  const std::uint64_t offset = bytes <= kEnvelopeReservedBytes
                                   ? kEnvelopeOffset
                                   : layout::align_up(payload_offset_ + payload_bytes, 64);
  if (offset + bytes > memory_->area_bytes()) {
    return Error{
        ErrorCode::kPayloadTooLarge,
        "a payload of " + std::to_string(payload_bytes) + " bytes leaves no room for " +
            std::to_string(bytes) +
            " bytes of what else the call carries (its session, its tensors' shapes, ...): a "
            "slot of this pool takes " +
            std::to_string(memory_->area_bytes() - payload_offset_) +
            " together (slot_bytes in its configuration)"};
  }
  if (Status backed = back_with_memory(offset + bytes); !backed) return backed;
  std::memcpy(area() + offset, envelope->bytes().data(), bytes);
  describe(first, payload, offset, bytes, 0);
  return Done{};
}

void FrameWriter::trim() {
  const std::uint64_t kept = memory_->kept_bytes();
  if (backed_ <= kept) return;
  // To the area's end: a huge page may reach further than what was asked for.
  give_back_from(kept);
  backed_ = kept;
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

Status FrameReader::make_present(const std::byte* area, std::uint64_t end) {
  const auto grow_to = [&](std::uint64_t to) {
    Status done = fault_in(std::span(area + present_, static_cast<std::size_t>(to - present_)));
    if (done) present_ = to;
    behind_kept_ = behind_kept_ || to > kept_bytes_;
    return done;
  };
  const std::uint64_t ahead = step_end(end, kept_bytes_);
  if (ahead > end && grow_to(ahead)) return Done{};
  return grow_to(end);
}

Result<Frame> FrameReader::read(const std::byte* area, std::uint32_t generation) {
  const auto* header = reinterpret_cast<const AreaHeader*>(area);
  return read(area, header->first, generation, /*envelope_may_be_absent=*/false);
}

Result<Frame> FrameReader::read(const std::byte* area, const FrameDescriptor& descriptor,
                                std::uint32_t generation, bool envelope_may_be_absent) {
  constexpr auto kRelaxed = std::memory_order_relaxed;
  const PayloadExtent payload = PayloadExtent::unpack(descriptor.payload.load(kRelaxed));
  std::uint64_t envelope_offset =
      descriptor.envelope_at.load(kRelaxed) * layout::kEnvelopeUnitBytes;
  const std::size_t envelope_bytes = descriptor.envelope_bytes.load(kRelaxed);
  const bool absent = envelope_may_be_absent && envelope_bytes == 0;
  if (absent) envelope_offset = kEnvelopeOffset;

  if (payload.offset < kPayloadOffset || payload.offset > area_bytes_ ||
      payload.bytes > area_bytes_ - payload.offset) {
    return bad_frame("the frame's payload lies outside the slot's area");
  }
  if (envelope_offset < kEnvelopeOffset || envelope_bytes > layout::kMaxEnvelopeBytes ||
      envelope_offset > area_bytes_ || envelope_bytes > area_bytes_ - envelope_offset) {
    return bad_frame("the frame's envelope lies outside the slot's area");
  }
  const std::uint64_t payload_end = payload.offset + payload.bytes;
  const std::uint64_t end = std::max(payload_end, envelope_offset + envelope_bytes);
  if (end > present_) {
    if (Status present = make_present(area, end); !present) return std::move(present).error();
  }
  const std::span bytes(area + payload.offset, static_cast<std::size_t>(payload.bytes));
  if (absent) return Frame{{}, nullptr, bytes};
  const std::span<const std::byte> copy = copy_envelope(area + envelope_offset, envelope_bytes);
  if (!kPlainEnvelope.matches(copy) && !verifies(copy)) {
    return bad_frame("the frame's envelope does not verify");
  }
  const wire::Envelope* envelope = wire::GetEnvelope(copy.data());
  const wire::FixedPart& fixed = *envelope->fixed();
  if (fixed.generation() != generation) {
    return bad_frame("the frame belongs to generation " + std::to_string(fixed.generation()) +
                     " of its slot, which is at " + std::to_string(generation));
  }
  return Frame{FrameHead{fixed.call_id(), fixed.deadline_ns(), fixed.generation(), fixed.method(),
                         fixed.kind(), fixed.flags()},
               envelope->rare(), bytes};
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
