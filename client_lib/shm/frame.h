// Writing a frame into an area, and reading one out of an area that a peer writes.
//
// Writing: payload first, in place; then commit() puts the envelope and the descriptor. The slot
// word's own transition publishes them.
//
// Reading trusts nothing: the descriptor is copied once and its extents are bounded against the
// area; the envelope is copied to private memory, run through the FlatBuffers verifier there, and
// read from the copy. What stays in shared memory is the payload, whose bytes may change under a
// reader if its peer breaks the rules; its extent may not. Errors: BAD_FRAME, with what was wrong.

#ifndef SLOTRING_CLIENT_LIB_SHM_FRAME_H_
#define SLOTRING_CLIENT_LIB_SHM_FRAME_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "client_lib/shm/data_memory.h"
#include "schemas/area_layout.h"
#include "schemas/frame_generated.h"
#include "slotring/result.h"

namespace slotring::shm {

// Asks for the lines that a small frame in `area` takes, before they are needed: they are in
// another core's cache.
inline void prefetch_frame_to_read(const std::byte* area) {
  __builtin_prefetch(area + layout::kFrameOffset, 0);
  __builtin_prefetch(area + layout::kPayloadOffset, 0);
}
inline void prefetch_frame_to_write(const std::byte* area) {
  __builtin_prefetch(area + layout::kFrameOffset, 1);
  __builtin_prefetch(area + layout::kPayloadOffset, 1);
}

// What travels with every frame; see wire::FixedPart.
struct FrameHead {
  std::uint64_t call_id = 0;
  std::uint64_t deadline_ns = 0;
  std::uint32_t generation = 0;
  std::uint16_t method = 0;
  wire::PayloadKind kind = wire::PayloadKind::Empty;
  std::uint8_t flags = 0;  // wire::FrameFlags
};

// One tensor of a payload; see wire::Tensor. Borrowed.
struct TensorHead {
  std::string_view dtype;
  std::span<const std::uint64_t> shape;
  std::span<const std::int64_t> strides;  // in bytes; empty for C order
  std::uint64_t offset = 0;               // from the payload's start, a multiple of 64
  std::string_view name = {};
};

// What only some frames carry. Empty fields are absent.
struct RareHead {
  std::string_view method_name = {};
  const Error* error = nullptr;
  std::string_view session = {};
  std::string_view table_type = {};
  std::span<const TensorHead> tensors = {};
  std::uint64_t value_bytes = 0;  // with tensors
  std::uint64_t window_bytes = 0;

  bool empty() const {
    return method_name.empty() && error == nullptr && session.empty() && table_type.empty() &&
           tensors.empty() && window_bytes == 0;
  }
};

// Bounds on texts in an envelope; longer ones are cut, a traceback at its start.
inline constexpr std::size_t kMaxMessageBytes = 4096;
inline constexpr std::size_t kMaxTracebackBytes = 8192;

// The writer's side of one slot's area. One call at a time; not thread-safe.
//
//   payload and envelope of the first frame | windows of the lanes, as they are opened | payload,
//                                             if it is granted later and does not fit before them
class FrameWriter {
 public:
  FrameWriter(const DataMemory& memory, SlotIndex slot) : memory_(&memory), slot_(slot) {}

  // A new call, of a slot whose area nobody reads.
  void begin();

  // `bytes` of payload space, 64-byte aligned and backed by memory. What was granted before in this
  // call is void. Errors: PAYLOAD_TOO_LARGE, OUT_OF_MEMORY.
  Result<std::span<std::byte>> payload_space(std::uint64_t bytes);

  // Writes envelope and first descriptor for `payload_bytes` of what payload_space() granted last.
  // Errors: PAYLOAD_TOO_LARGE (the envelope), OUT_OF_MEMORY.
  Status commit(const FrameHead& head, std::uint64_t payload_bytes, const RareHead& rare = {});

  // Gives back what a large payload used behind the kept part. Before the slot is freed, or when
  // its reader is known to be gone.
  void trim();

  // For lane.h. Where a window of `bytes` stands that nothing else of this call uses; it is not
  // backed yet. Errors: PAYLOAD_TOO_LARGE.
  Result<std::uint64_t> open_window(std::uint64_t bytes);
  // Backs the area's first `bytes`, so that they are written without a page fault. Costs nothing
  // when they are. Errors: OUT_OF_MEMORY.
  Status back_with_memory(std::uint64_t bytes) {
    if (bytes <= backed_) [[likely]]
      return Done{};
    return back_more(bytes);
  }
  // Whether back_with_memory() has nothing to do.
  bool is_backed(std::uint64_t bytes) const { return bytes <= backed_; }
  std::byte* area() const { return memory_->area(slot_); }

 private:
  Status back_more(std::uint64_t bytes);
  Status grow_to(std::uint64_t end);
  void give_back_from(std::uint64_t begin) const;

  const DataMemory* memory_;
  SlotIndex slot_;
  // So many bytes of the area are backed by memory, and mapped here.
  std::uint64_t backed_ = 0;
  std::uint64_t payload_offset_ = layout::kPayloadOffset;
  std::uint64_t payload_end_ = layout::kPayloadOffset;  // of what was granted
  std::uint64_t windows_begin_ = 0;                     // 0: none is open
  std::uint64_t windows_end_ = 0;
};

// A finished envelope, for `head` and `rare`.
class EnvelopeImage {
 public:
  // Errors: PAYLOAD_TOO_LARGE.
  static Result<EnvelopeImage> build(const FrameHead& head, const RareHead& rare);
  std::span<const std::byte> bytes() const {
    return std::as_bytes(std::span(builder_.GetBufferPointer(), builder_.GetSize()));
  }

 private:
  EnvelopeImage() : builder_(512) {}
  flatbuffers::FlatBufferBuilder builder_;
};

void describe(layout::FrameDescriptor& descriptor, const layout::PayloadExtent& payload,
              std::uint64_t envelope_offset, std::size_t envelope_bytes, std::uint16_t flags);

struct Frame {
  FrameHead head;
  const wire::RarePart* rare;          // in the reader's copy; null on a plain frame
  std::span<const std::byte> payload;  // in the area
};

// The reader's side of one slot's area. A frame that was read is valid until the next read of the
// same reader.
class FrameReader {
 public:
  // Of an area that is there as a whole.
  explicit FrameReader(std::uint64_t area_bytes)
      : area_bytes_(area_bytes), kept_bytes_(area_bytes), present_(area_bytes) {}
  // Of an area of this memory.
  explicit FrameReader(const DataMemory& memory)
      : area_bytes_(memory.area_bytes()), kept_bytes_(memory.kept_bytes()) {}

  // A new call.
  void begin() {
    present_ = std::min(present_, kept_bytes_);
    behind_kept_ = false;
  }
  // From now on the area is read in another mapping.
  void forget_mapping() { present_ = 0; }
  // Whether this call's frames reached behind the part that is kept.
  bool read_behind_kept() const { return behind_kept_; }

  // Reads the first frame of the area. `generation` is the slot word's. Errors: BAD_FRAME,
  // OUT_OF_MEMORY.
  Result<Frame> read(const std::byte* area, std::uint32_t generation);
  // Reads what `descriptor` says, which is in the area. Without an envelope, where that may be
  // absent, only the payload is set.
  Result<Frame> read(const std::byte* area, const layout::FrameDescriptor& descriptor,
                     std::uint32_t generation, bool envelope_may_be_absent);
  // The payload of a frame without an envelope that needs nothing else: it lies in the area, where
  // memory is present. Nothing otherwise; read() says what is wrong, or mends it.
  std::optional<std::span<const std::byte>> try_read_plain(
      const std::byte* area, const layout::FrameDescriptor& descriptor) const {
    constexpr auto kRelaxed = std::memory_order_relaxed;
    const auto payload = layout::PayloadExtent::unpack(descriptor.payload.load(kRelaxed));
    if (descriptor.envelope_bytes.load(kRelaxed) != 0 || payload.offset < layout::kPayloadOffset ||
        payload.offset > present_ || payload.bytes > present_ - payload.offset) {
      return std::nullopt;
    }
    return std::span(area + payload.offset, static_cast<std::size_t>(payload.bytes));
  }

 private:
  std::span<const std::byte> copy_envelope(const std::byte* from, std::size_t bytes);
  Status make_present(const std::byte* area, std::uint64_t end);

  std::uint64_t area_bytes_;
  std::uint64_t kept_bytes_;
  // So many bytes of the area are backed by memory, and mapped here.
  bool behind_kept_ = false;
  std::uint64_t present_ = 0;
  alignas(16) std::array<std::byte, 128> small_;
  std::vector<std::uint64_t> large_;
};

// The error that a frame carries, or nothing.
std::optional<Error> error_of(const Frame& frame);

}  // namespace slotring::shm

#endif  // SLOTRING_CLIENT_LIB_SHM_FRAME_H_
